"""The process: its run and drain, worker processes, open files, memory, garbage collection."""
