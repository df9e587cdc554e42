/* Sockets on loopback, the clock, and the end of the program. */
#ifndef NET_H
#define NET_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC: the same clock in every process of this machine. */
uint64_t now_ns(void);

/* Listens on 127.0.0.1; port 0 picks one. Non-blocking. Returns the socket, the port in *port. */
int listen_on(int *port);

/* Begins to connect to 127.0.0.1; non-blocking. Returns the socket, -1 if that can't be. */
int dial(int port);

void unblock(int fd);

/* A timer that epoll can wait for, on the clock of now_ns. */
int timer_new(void);
void timer_at(int fd, uint64_t when);
void timer_clear(int fd);

/* Raises the limit of open files to what is allowed. */
void many_files(void);

_Noreturn void die(const char *what);

#endif
