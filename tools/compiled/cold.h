/* What only failures call. A compiler that knows it moves the branches to them out of the way, so
   that what runs lies close together: a change that comes singly fetches its code from memory. The
   declarations are mypyc's own (CPy.h). */

#include <Python.h>

__attribute__((cold)) void CPy_AddTraceback(const char *, const char *, int, PyObject *);
__attribute__((cold)) void CPy_TypeError(const char *, PyObject *);
__attribute__((cold)) void CPy_TypeErrorTraceback(const char *, const char *, int, PyObject *,
                                                  const char *, PyObject *);
__attribute__((cold)) void CPy_AttributeError(const char *, const char *, const char *,
                                              const char *, int, PyObject *);
