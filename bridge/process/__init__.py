"""The process itself: workers, open files, memory, garbage collection, draining."""
