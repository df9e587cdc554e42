"""Calling: something to flush that calls back."""


class Calling:
    def __init__(self, callback):
        self.flush = callback
