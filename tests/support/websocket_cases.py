"""RFC 6455 as cases, in the groups of the Autobahn test suite (1 to 7, 9, 10), for a v1 socket.

A case is what a client sends, and what it must be answered: `PONGED` for a command `ping`, the
payload of a pong as bytes, and at last the code of the close frame as an integer. A case that ends
no connection by itself is ended by a close frame 1000, which is answered 1000.
"""

import json
import struct
from itertools import product

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
PONGED = "ponged"
LIMIT = 65_536
COMMAND = b'{"action":"ping"}'
MASKS = (b"\x00\x00\x00\x00", b"\x01\x02\x03\x04", b"\xff\xff\xff\xff", b"\x80\x00\x7f\xfe")


def frame(opcode, payload=b"", *, fin=True, rsv=0, mask=MASKS[1], length=None):
    """Encode a frame; `mask` None: unmasked; `length`: bytes of the length field's form."""
    first = (FIN if fin else 0) | rsv | opcode
    masked = 0x80 if mask is not None else 0
    size = len(payload)
    form = length or (1 if size < 126 else 2 if size < 1 << 16 else 8)
    if form == 1:
        head = bytes([first, masked | size])
    elif form == 2:
        head = struct.pack(">BBH", first, masked | 126, size)
    else:
        head = struct.pack(">BBQ", first, masked | 127, size)
    if mask is None:
        return head + payload
    key = (mask * (size // 4 + 1))[:size]
    hidden = (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)
    return head + mask + hidden


def command(size):
    """Return a command of so many bytes."""
    return COMMAND.ljust(size)


def saying(text):
    """Return a command that holds a text, as bytes."""
    return b'{"action":"ping","x":"' + text + b'"}'


def fragments(payload, size, opcode=TEXT, between=b""):
    """Encode a message in fragments of `size` bytes, with frames between them."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    return between.join(
        frame(opcode if at == 0 else CONTINUATION, part, fin=at == len(parts) - 1)
        for at, part in enumerate(parts)
    )


def closing(code=1000, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


def _framing():
    for size in (17, 18, 124, 125, 126, 127, 128, 1_000, 65_535, LIMIT):
        yield f"1.1 a command of {size} bytes", frame(TEXT, command(size)), [PONGED]
    yield "1.1 an empty text", frame(TEXT), [4500]
    yield "1.1 a text beyond the limit", frame(TEXT, command(LIMIT + 1)), [1009]
    for size in (0, 1, 125, 126, 127, 128, 65_535, LIMIT):
        yield f"1.2 a binary of {size} bytes", frame(BINARY, bytes(size)), [4500]
    yield "1.2 a binary beyond the limit", frame(BINARY, bytes(LIMIT + 1)), [1009]
    for mask, size in product(MASKS, (17, 126, LIMIT)):
        yield (
            f"1.3 masked by {mask.hex()}, {size} bytes",
            frame(TEXT, command(size), mask=mask),
            [PONGED],
        )
    for opcode in (TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG):
        yield f"1.4 unmasked, opcode {opcode}", frame(opcode, b"{}", mask=None), [1002]
        yield f"1.4 unmasked and empty, opcode {opcode}", frame(opcode, mask=None), [1002]
    announced = struct.pack(">BBQ", FIN | TEXT, 0xFF, 2**62) + MASKS[0]
    yield "1.5 a length of 2^62 announced", announced, [1009]
    yield (
        "1.5 a length of 1 GiB announced",
        struct.pack(">BBQ", FIN | TEXT, 0xFF, 2**30) + MASKS[0],
        [1009],
    )


def _pings():
    for size in (0, 1, 8, 124, 125):
        payload = bytes(range(size))
        yield f"2.1 a ping of {size} bytes", frame(PING, payload), [payload]
    for size in (126, 127, 1_000, 65_535):
        yield f"2.5 a ping of {size} bytes", frame(PING, bytes(size)), [1002]
        yield f"2.5 a pong of {size} bytes", frame(PONG, bytes(size)), [1002]
    yield "2.4 bytes that are no UTF-8", frame(PING, b"\xff\x00\xfe"), [b"\xff\x00\xfe"]
    for size in (0, 1, 125):
        yield (
            f"2.7 an unasked pong of {size} bytes",
            frame(PONG, bytes(size)) + frame(TEXT, COMMAND),
            [PONGED],
        )
    yield "2.9 an unasked pong, then a ping", frame(PONG, b"x") + frame(PING, b"y"), [b"y"]
    yield (
        "2.10 ten pings",
        b"".join(frame(PING, b"%d" % n) for n in range(10)),
        [b"%d" % n for n in range(10)],
    )
    yield (
        "2.11 a ping and a command",
        frame(PING, b"a") + frame(TEXT, COMMAND) + frame(PING, b"b"),
        [b"a", PONGED, b"b"],
    )


def _reserved():
    for rsv in range(1, 8):
        bits = rsv << 4
        for opcode, payload in (
            (TEXT, COMMAND),
            (BINARY, b"x"),
            (PING, b""),
            (PONG, b""),
            (CLOSE, b"\x03\xe8"),
            (CONTINUATION, b""),
        ):
            yield (
                f"3.1 reserved bits {rsv}, opcode {opcode}",
                frame(opcode, payload, rsv=bits),
                [1002],
            )
        after = frame(TEXT, COMMAND) + frame(TEXT, COMMAND, rsv=bits) + frame(PING)
        yield f"3.2 reserved bits {rsv} after a command", after, [PONGED, 1002]
        amid = frame(TEXT, COMMAND[:5], fin=False) + frame(CONTINUATION, COMMAND[5:], rsv=bits)
        yield f"3.3 reserved bits {rsv} in a fragment", amid, [1002]


def _opcodes():
    for opcode in (*range(3, 8), *range(11, 16)):
        yield f"4.1 opcode {opcode}", frame(opcode), [1002]
        yield f"4.1 opcode {opcode} with a payload", frame(opcode, b"x"), [1002]
        after = frame(TEXT, COMMAND) + frame(opcode, b"x") + frame(PING)
        yield f"4.2 opcode {opcode} after a command", after, [PONGED, 1002]
        amid = (
            frame(TEXT, COMMAND[:5], fin=False) + frame(opcode) + frame(CONTINUATION, COMMAND[5:])
        )
        yield f"4.3 opcode {opcode} between fragments", amid, [1002]


def _fragmentation():
    for opcode, payload in product((PING, PONG, CLOSE), (b"", b"\x03\xe8")):
        yield (
            f"5.1 the beginning of a control frame {opcode}, {len(payload)} bytes",
            frame(opcode, payload, fin=False),
            [1002],
        )
    for size in (1, 2, 3, 8, 16, 17):
        yield f"5.3 fragments of {size} bytes", fragments(COMMAND, size), [PONGED]
        pings = fragments(COMMAND, size, between=frame(PING, b"x"))
        count = -(-len(COMMAND) // size) - 1
        yield f"5.6 fragments of {size} bytes with pings between", pings, [b"x"] * count + [PONGED]
        pongs = fragments(COMMAND, size, between=frame(PONG, b"x"))
        yield f"5.7 fragments of {size} bytes with pongs between", pongs, [PONGED]
        yield f"5.8 binary fragments of {size} bytes", fragments(COMMAND, size, BINARY), [4500]
    empty = frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION, COMMAND)
    yield "5.8 empty fragments before", empty, [PONGED]
    yield (
        "5.8 an empty fragment behind",
        frame(TEXT, COMMAND, fin=False) + frame(CONTINUATION),
        [PONGED],
    )
    yield (
        "5.8 nothing but empty fragments",
        frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION),
        [4500],
    )
    for fin, payload in product((True, False), (b"", b"x")):
        lone = frame(CONTINUATION, payload, fin=fin)
        what = f"{'a last' if fin else 'a'} continuation of nothing, {len(payload)} bytes"
        yield f"5.9 {what}", lone, [1002]
        yield (
            f"5.10 {what}, after a command",
            frame(TEXT, COMMAND) + lone + frame(TEXT, COMMAND),
            [PONGED, 1002],
        )
        whole = fragments(COMMAND, 5)
        yield f"5.11 {what}, after a message in fragments", whole + lone, [PONGED, 1002]
    for opcode, fin in product((TEXT, BINARY), (True, False)):
        twice = frame(TEXT, COMMAND[:5], fin=False) + frame(opcode, COMMAND, fin=fin)
        yield f"5.18 a new message {opcode} {fin} within one", twice, [1002]
    two = fragments(COMMAND, 5) + frame(PING, b"x") + fragments(COMMAND, 7)
    yield "5.19 two messages in fragments", two, [PONGED, b"x", PONGED]
    yield (
        "5.20 a close frame between fragments",
        frame(TEXT, COMMAND[:5], fin=False) + closing(),
        [1000],
    )


VALID_TEXTS = {
    "ASCII": b"hello",
    "Greek": "κόσμε".encode(),
    "two bytes, least": b"\xc2\x80",
    "two bytes, most": b"\xdf\xbf",
    "three bytes, least": b"\xe0\xa0\x80",
    "three bytes, most": b"\xef\xbf\xbf",
    "before surrogates": b"\xed\x9f\xbf",
    "after surrogates": b"\xee\x80\x80",
    "replacement": b"\xef\xbf\xbd",
    "a non-character": b"\xef\xbf\xbe",
    "four bytes, least": b"\xf0\x90\x80\x80",
    "four bytes, most": b"\xf4\x8f\xbf\xbf",
    "an emoji": "😀".encode(),
    "a non-character of plane 1": b"\xf0\x9f\xbf\xbe",
    "a byte order mark": b"\xef\xbb\xbf",
    "all lengths": "aä€😀".encode(),
}
INVALID_TEXTS = {
    "a continuation byte": b"\x80",
    "the last continuation byte": b"\xbf",
    "two continuation bytes": b"\x80\xbf",
    "all continuation bytes": bytes(range(0x80, 0xC0)),
    "a lone beginning of two": b"\xc2 ",
    "a lone beginning of three": b"\xe0 ",
    "a lone beginning of four": b"\xf0 ",
    "half of three": b"\xe2\x82",
    "three of four": b"\xf0\x9f\x98",
    "over-long slash, two": b"\xc0\xaf",
    "over-long slash, three": b"\xe0\x80\xaf",
    "over-long slash, four": b"\xf0\x80\x80\xaf",
    "over-long zero": b"\xc0\x80",
    "over-long most of two": b"\xc1\xbf",
    "over-long most of three": b"\xe0\x9f\xbf",
    "over-long most of four": b"\xf0\x8f\xbf\xbf",
    "a surrogate": b"\xed\xa0\x80",
    "the last high surrogate": b"\xed\xaf\xbf",
    "a low surrogate": b"\xed\xb0\x80",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "fe": b"\xfe",
    "ff": b"\xff",
    "Latin-1": "grün".encode("latin-1"),
}


def _utf8():
    for what, text in VALID_TEXTS.items():
        whole = saying(text)
        yield f"6.2 {what}", frame(TEXT, whole), [PONGED]
        yield f"6.2 {what}, a byte a fragment", fragments(whole, 1), [PONGED]
        yield (
            f"6.2 {what}, with pings in its characters",
            fragments(whole, 1, between=frame(PONG)),
            [PONGED],
        )
    for what, text in INVALID_TEXTS.items():
        whole = saying(text)
        yield f"6.3 {what}", frame(TEXT, whole), [1007]
        yield f"6.4 {what}, a byte a fragment", fragments(whole, 1), [1007]
        yield f"6.4 {what}, alone", frame(TEXT, text), [1007]
        yield f"6.5 {what}, in a binary", frame(BINARY, whole), [4500]


def _closes():
    yield "7.1 a close frame", closing(), [1000]
    yield "7.1 two close frames", closing() + closing(1001), [1000]
    yield "7.1 a ping after a close frame", closing() + frame(PING, b"x"), [1000]
    yield "7.1 a command after a close frame", closing() + frame(TEXT, COMMAND), [1000]
    yield "7.1 a wrong frame after a close frame", closing() + b"\xff\xff\xff", [1000]
    yield "7.1 a close frame after a command", frame(TEXT, COMMAND) + closing(), [PONGED, 1000]
    yield "7.3 a close frame without a code", frame(CLOSE), [1000]
    yield "7.3 half a code", frame(CLOSE, b"\x03"), [1002]
    for size in (0, 1, 122, 123):
        yield f"7.3 a reason of {size} bytes", closing(1000, b"x" * size), [1000]
    for size in (124, 125, 1_000):
        yield f"7.3 a reason of {size} bytes", closing(1000, b"x" * size), [1002]
    for what, text in INVALID_TEXTS.items():
        yield f"7.5 a reason with {what}", closing(1000, text), [1007]
    for what, text in VALID_TEXTS.items():
        yield f"7.5 a reason with {what}", closing(1000, text), [1000]
    for code in (
        1000,
        1001,
        1002,
        1003,
        1007,
        1008,
        1009,
        1010,
        1011,
        3000,
        3999,
        4000,
        4500,
        4999,
    ):
        yield f"7.7 code {code}", closing(code), [1000]
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535):
        yield f"7.9 code {code}", closing(code), [1002]


def _sizes():
    for size in (64, 256, 1_024, 4_096, 16_384, 65_536):
        yield (
            f"9.3 64 KiB in fragments of {max(size, 128)}",
            fragments(command(LIMIT), max(size, 128)),
            [PONGED],
        )
        yield (
            f"9.4 beyond the limit in fragments of {max(size, 128)}",
            fragments(command(LIMIT + 1), max(size, 128)),
            [1009],
        )
    yield "9.5 40 commands", frame(TEXT, COMMAND) * 40, [PONGED] * 40
    yield "9.6 100 pings of 125 bytes", frame(PING, bytes(125)) * 100, [bytes(125)] * 100
    yield "10.1 64 KiB in fragments of 1,300", fragments(command(LIMIT), 1_300), [PONGED]


def cases():
    """Return {name: (what a client sends, what it is answered)}."""
    made = {}
    for group in (_framing, _pings, _reserved, _opcodes, _fragmentation, _utf8, _closes, _sizes):
        for name, data, answers in group():
            assert name not in made, name
            ended = isinstance(answers[-1], int)
            made[name] = (
                data if ended else data + closing(),
                answers if ended else [*answers, 1000],
            )
    return made


def read_answer(first, payload):
    """Return what one frame of the bridge's says, as the cases have it."""
    if first == FIN | CLOSE:
        return struct.unpack(">H", payload[:2])[0]
    if first == FIN | PONG:
        return payload
    return PONGED if json.loads(payload) == {"type": "pong"} else json.loads(payload)
