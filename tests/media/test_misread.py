# SPDX-License-Identifier: Apache-2.0
"""Files whose pixels OpenImageIO reads as others than they hold are refused, as plate and as mask; others are read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from jpeg_2000 import RED_OVER_BLUE
from tiffs import tiff

from matanyone_engine.errors import MaskError, PlateError
from matanyone_engine.media import colour_tags as colour_tags_module
from matanyone_engine.media.colour_tags import TIFF_TRANSFER, colour_tags, head_of
from matanyone_engine.media.images import read_plate
from matanyone_engine.media.masks import read_mask
from matanyone_engine.media.misread import misread
from matanyone_engine.sizes import Resolution

Write = Callable[..., Path]
HEIGHT, WIDTH = 24, 8


def picture(width: int = WIDTH, bits: int = 8) -> np.ndarray:
    """No two rows or columns are alike: (H, W, 3) codes."""
    y, x = np.mgrid[0:HEIGHT, 0:width]
    colours = np.stack([x / width, y / HEIGHT, (x + y) / (width + HEIGHT)], axis=-1)
    return np.rint(colours * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def is_refused(path: Path, why: str, width: int = WIDTH, height: int = HEIGHT) -> None:
    with pytest.raises(PlateError, match=why):
        read_plate(path)
    with pytest.raises(MaskError, match=why):
        read_mask(path, Resolution(width, height))


def holds(path: Path, rgb: np.ndarray, most: float = 1e-4) -> None:
    assert np.abs(read_plate(path).rgb - rgb).max() < most


# ------------------------------------------------------------------------------------------------------------- BMP


def bmp(path: Path, order: str, masks: tuple[int, int, int]) -> Path:
    """Write four bytes a pixel, with masks that say which of them are which: order names them from the lowest."""
    planes = {"b": 2, "g": 1, "r": 0}
    rgb = np.dstack([picture(), np.zeros((HEIGHT, WIDTH, 1), np.uint8)])
    data = rgb[::-1][..., [planes.get(letter, 3) for letter in order]].tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 32, 3, len(data), 0, 0, 0, 0) + struct.pack("<3I", *masks)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(head) + len(data), 0, 0, 14 + len(head)) + head + data)
    return path


def test_a_bmp_with_unusual_bits_is_refused(tmp_path: Path) -> None:
    holds(bmp(tmp_path / "usual.bmp", "bgr0", (0xFF0000, 0xFF00, 0xFF)), picture() / 255)
    is_refused(bmp(tmp_path / "rgb.bmp", "rgb0", (0xFF, 0xFF00, 0xFF0000)), "unusual bits .000000ff, 0000ff00")


def test_ordinary_bmps_are_read(tmp_path: Path, write_image: Write) -> None:
    """One of 24 bits, one of 32 without masks, and one of OS/2, whose pixels look like the fields of newer headers."""
    holds(write_image("24.bmp", picture() / 255, "uint8"), picture() / 255)
    plain = bytearray(bmp(tmp_path / "32.bmp", "bgr0", (0, 0, 0)).read_bytes())
    plain[30:34] = bytes(4)  # no compression: the numbers behind the header are no masks
    (tmp_path / "32.bmp").write_bytes(plain)
    shown = read_plate(tmp_path / "32.bmp").rgb
    assert shown.shape == (HEIGHT, WIDTH, 3)
    rgb = picture()
    rgb[-1, :4] = [[9, 0, 0], [0, 32, 0], [0, 3, 0], [0, 0, 0]]
    rgb[-1, 0], rgb[-1, 1], rgb[-1, 2] = (32, 7, 7), (0, 3, 0), (0, 0, 0)
    head = struct.pack("<2sIHHI", b"BM", 26 + rgb.size, 0, 0, 26) + struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24)
    (tmp_path / "os2.bmp").write_bytes(head + rgb[::-1, :, ::-1].tobytes())
    holds(tmp_path / "os2.bmp", rgb / 255)


# ------------------------------------------------------------------------------------------------- DPX and Cineon


def dpx_of_ffmpeg(path: Path, rgb: np.ndarray, layout: str) -> Path:
    """Write it as FFmpeg does: rows end at whole words of 32 bits, and the header says nothing of it."""
    codec = av.CodecContext.create("dpx", "w")
    codec.height, codec.width = rgb.shape[:2]
    codec.pix_fmt, codec.time_base = layout, Fraction(1, 24)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24" if rgb.dtype == np.uint8 else "rgb48le")
    packets = [*codec.encode(frame.reformat(format=layout)), *codec.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path


@pytest.mark.parametrize(("layout", "bits"), [("rgb24", 8), ("rgb48be", 16), ("rgb48le", 16), ("gbrp12be", 16)])
def test_a_dpx_whose_rows_may_be_padded_is_refused(tmp_path: Path, layout: str, bits: int) -> None:
    """Read as they stand, the rows would slip by a byte or two each."""
    path = tmp_path / "p.dpx"
    tolerance = 1e-3 if layout == "gbrp12be" else 1e-4
    holds(dpx_of_ffmpeg(path, picture(8, bits), layout), picture(8, bits) / (2**bits - 1), tolerance)
    is_refused(dpx_of_ffmpeg(path, picture(9, bits), layout), "within a word of 32 bits.*At a width of 9", 9)
    holds(dpx_of_ffmpeg(path, picture(9, 16), "gbrp10be"), picture(9, 16) / 65535, 1e-3)  # three colours to a word


GREY, RGB, RGBA, ALPHA = 6, 50, 51, 4


def dpx_head(
    width: int, descriptor: int, elements: int = 1, bits: int = 10, packing: int = 1, padding: int = 0
) -> bytes:
    """Return 2,048 bytes that say so. Of two elements the first is RGB."""
    head = bytearray(2048)
    struct.pack_into(">4sI8sI", head, 0, b"SDPX", 2048, b"V2.0", 2048)
    struct.pack_into(">HII", head, 770, elements, width, HEIGHT)
    for at in range(0, 72 * elements, 72):
        kind = descriptor if at == 72 * (elements - 1) else RGB
        struct.pack_into(">BBBBHHII", head, 800 + at, kind, 2, 2, bits, packing, 0, 2048, padding)
    return bytes(head)


def dpx_of_words(path: Path, codes: np.ndarray, descriptor: int, elements: int = 1) -> Path:
    """Write rows of 10-bit codes, (H, N), three to a word of 32 bits, the first in the highest bits."""
    codes = np.pad(codes.astype(np.uint32), ((0, 0), (0, -codes.shape[1] % 3)))
    words = codes[:, 0::3] << 22 | codes[:, 1::3] << 12 | codes[:, 2::3] << 2
    path.write_bytes(dpx_head(WIDTH, descriptor, elements) + words.astype(">u4").tobytes())
    return path


def test_a_dpx_of_10_bits_that_are_no_rgb_is_refused(tmp_path: Path) -> None:
    """OpenImageIO takes the pixels of grey in another order than any that is written, by widths in different ways."""
    codes, path = picture(bits=16) >> 6, tmp_path / "p.dpx"
    holds(dpx_of_words(path, codes.reshape(HEIGHT, -1), RGB), codes / 1023)
    for descriptor, rows in ((GREY, codes[..., 0]), (RGBA, np.dstack([codes, codes[..., 0]]).reshape(HEIGHT, -1))):
        is_refused(dpx_of_words(path, rows, descriptor), "10-bit codes of grey, alpha or RGBA.*16 bits")
    is_refused(dpx_of_words(path, np.tile(codes.reshape(HEIGHT, -1), 2), ALPHA, elements=2), "10-bit codes of grey")


@pytest.mark.parametrize(("kind", "bits"), [("uint8", 8), ("uint16", 10), ("uint16", 12), ("uint16", 16)])
def test_a_dpx_whose_rows_are_as_long_as_their_pixels_is_read(write_image: Write, kind: str, bits: int) -> None:
    rgb = (picture(9, 16) / 65535).astype(np.float32)
    holds(write_image("p.dpx", rgb, kind, attributes={"oiio:BitsPerSample": bits}), rgb, 2**-bits)


@pytest.mark.parametrize(("kind", "bits"), [("uint8", 8), ("uint16", 10), ("uint16", 12), ("uint16", 16)])
def test_a_grey_dpx_whose_order_is_known_is_read(write_image: Write, kind: str, bits: int) -> None:
    """Of 10 bits that is one whose codes are packed without gaps."""
    rgb = np.repeat(picture(32, 16)[..., :1] / 65535, 3, axis=2).astype(np.float32)
    holds(write_image("p.dpx", rgb[..., :1], kind, attributes={"oiio:BitsPerSample": bits}), rgb, 2**-bits)


def test_a_dpx_of_8_bits_may_state_the_padding_of_its_rows(tmp_path: Path) -> None:
    rgb, path = picture(9), tmp_path / "p.dpx"
    rows = np.pad(rgb.reshape(HEIGHT, -1), ((0, 0), (0, 1)))
    path.write_bytes(dpx_head(9, RGB, bits=8, packing=0, padding=1) + rows.tobytes())
    holds(path, rgb / 255)


def test_a_dpx_with_bytes_after_its_rows_is_refused(write_image: Write) -> None:
    path = write_image("p.dpx", np.full((6, 8, 3), 0.5, np.float32), "uint16", attributes={"oiio:BitsPerSample": 10})
    data = bytearray(path.read_bytes())
    data[812:816] = struct.pack("<I", 16)
    path.write_bytes(data)
    is_refused(path, "16 bytes behind every row")


def test_a_dpx_with_two_pictures_is_refused(write_image: Write) -> None:
    """Stereo files have them; which one is meant, nobody says."""
    path = write_image("p.dpx", np.full((6, 8, 3), 0.5, np.float32), "uint8")
    data = bytearray(path.read_bytes())
    data[770:772] = struct.pack("<H", 2)
    data[852:924] = data[780:852]
    path.write_bytes(data)
    is_refused(path, "several frames or pages")


def cineon(path: Path, rows: np.ndarray, width: int, colours: int, bits: int, packing: int, padding: int = 0) -> Path:
    """Write rows of whatever they are made of, each with so many bytes behind it."""
    head, size = bytearray(2048), len(rows) * (rows[0].nbytes + padding)
    struct.pack_into(">6I4s", head, 0, 0x802A5FD7, 2048, 1024, 1024, 0, 2048 + size, b"V4.5")
    head[193] = colours
    for colour in range(colours):
        struct.pack_into(">BBBxII", head, 196 + 28 * colour, 0, colours // 3 * (colour + 1), bits, width, len(rows))
    head[681] = packing
    struct.pack_into(">I", head, 684, padding)
    path.write_bytes(bytes(head) + b"".join(row.tobytes() + bytes(padding) for row in rows))
    return path


def test_a_cineon_with_bytes_after_its_rows_is_refused(tmp_path: Path) -> None:
    codes, path = picture(bits=16).astype(np.uint32) >> 6, tmp_path / "p.cin"
    words = (codes << np.array([22, 12, 2], np.uint32)).sum(axis=2).astype(">u4")
    holds(cineon(path, words, WIDTH, 3, 10, 5), codes / 1023)
    is_refused(cineon(path, words, WIDTH, 3, 10, 5, padding=16), "16 bytes behind every row")


def test_a_cineon_that_programs_store_differently_is_refused(tmp_path: Path) -> None:
    """Grey of 10 bits comes in another order than it is written in; of 12 bits nobody knows the order."""
    codes, path = picture(bits=16).astype(np.uint32) >> 6, tmp_path / "p.cin"
    grey = np.pad(codes[..., 0], ((0, 0), (0, 1)))
    words = (grey[:, 0::3] << 22 | grey[:, 1::3] << 12 | grey[:, 2::3] << 2).astype(">u4")
    is_refused(cineon(path, words, WIDTH, 1, 10, 5), "10-bit codes of grey.*Save it as RGB")
    is_refused(cineon(path, (codes << 6).astype(">u2"), WIDTH, 3, 12, 0), "12-bit codes, which programs pack")
    odd = picture(9)
    holds(cineon(path, odd, 9, 3, 8, 0), odd / 255)
    is_refused(cineon(path, np.pad(odd.reshape(HEIGHT, -1), ((0, 0), (0, 1))), 9, 3, 8, 0), "within a word", 9)


# ------------------------------------------------------------------------------------------------------ other files


def test_a_png_with_an_offset_is_refused(write_image: Write) -> None:
    path = write_image("p.png", picture() / 255, "uint8")
    data, chunk = path.read_bytes(), b"oFFs" + struct.pack(">iiB", 3, 0, 0)
    end = data.index(b"IHDR") + 4 + 13 + 4
    path.write_bytes(data[:end] + struct.pack(">I", 9) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[end:])
    is_refused(path, "an offset of 3, 0 pixels .oFFs")


@pytest.mark.parametrize("space", [12, 14, 24])
def test_a_jpeg_2000_of_inks_lab_or_chroma_is_refused(tmp_path: Path, space: int) -> None:
    data, path = bytearray(RED_OVER_BLUE), tmp_path / "p.jp2"
    path.write_bytes(data)
    red, blue = np.full((4, 8, 3), (200, 20, 20)), np.full((4, 8, 3), (20, 20, 200))
    holds(path, np.vstack([red, blue]) / 255)
    at = data.index(b"colr") + 7
    data[at : at + 4] = struct.pack(">I", space)
    path.write_bytes(data)
    is_refused(path, f"colour space {space}, which is not RGB or grey", 8, 8)


# Two frames of 8x8, of codes 60 and 200, and the first of them alone; libjxl has written them.
TWO_FRAMES = "ff0a41044d0020260804010040004b12c58205522c57fd0f80d94cab09020804050040004b12c58205526c85fa1f0023fa551308"
ONE_FRAME = "ff0a4140240804010040004b12c58205522c57fd0f80d94cab0902"


def test_an_animated_jpeg_xl_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.jxl"
    path.write_bytes(bytes.fromhex(ONE_FRAME) + bytes(128))  # OpenImageIO reads no shorter file
    holds(path, np.full((8, 8, 3), 60 / 255))
    boxes = [(b"JXL ", b"\r\n\x87\n"), (b"ftyp", b"jxl \0\0\0\0jxl ")]
    before = b"".join(struct.pack(">I", 8 + len(content)) + name + content for name, content in boxes)
    for box in (b"", before + struct.pack(">I4s", 0, b"jxlc")):
        path.write_bytes(box + bytes.fromhex(TWO_FRAMES) + bytes(128))
        is_refused(path, "an animation", 8, 8)


def test_a_radiance_file_with_corrected_colours_is_refused(write_image: Write) -> None:
    path = write_image("p.hdr", np.full((HEIGHT, WIDTH, 3), 0.5, np.float32), "float")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"FORMAT=", b"COLORCORR= 1 1.0 1\nFORMAT="))
    holds(path, np.full((HEIGHT, WIDTH, 3), 0.5), 0.01)
    path.write_bytes(data.replace(b"FORMAT=", b"COLORCORR= 1.2 1.0 0.9\nFORMAT="))
    is_refused(path, "COLORCORR")


@pytest.mark.parametrize(
    "lines", [b"COLORCORR= 1 1 1\nCOLORCORR= 1 2 1", b"COLORCORR = 1\t2 1 \r", b" COLORCORR=2 2 2"]
)
def test_every_line_about_corrected_colours_counts(write_image: Write, lines: bytes) -> None:
    path = write_image("p.hdr", np.full((HEIGHT, WIDTH, 3), 0.5, np.float32), "float")
    path.write_bytes(path.read_bytes().replace(b"FORMAT=", lines + b"\nFORMAT="))
    is_refused(path, "COLORCORR")


def test_the_exposure_of_a_radiance_file_gets_a_warning_and_pixels_stay(
    write_image: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Every program that multiplies the pixels adds a line; all of them together are what was done."""
    path = write_image("p.hdr", np.full((HEIGHT, WIDTH, 3), 0.5, np.float32), "float")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"FORMAT=", b"EXPOSURE=4\nEXPOSURE= 0.25\nFORMAT="))
    holds(path, np.full((HEIGHT, WIDTH, 3), 0.5), 0.01)
    assert not caplog.messages
    path.write_bytes(data.replace(b"FORMAT=", b"EXPOSURE=4\nEXPOSURE= 1.625\nFORMAT="))
    for _ in range(2):
        holds(path, np.full((HEIGHT, WIDTH, 3), 0.5), 0.01)
    assert [message.partition("multiplied by ")[2][:15] for message in caplog.messages] == ["6.5 (EXPOSURE)."]


def test_the_header_of_a_radiance_file_is_read_once(write_image: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image("p.hdr", np.full((HEIGHT, WIDTH, 3), 0.5, np.float32), "float")
    opened: list[Path] = []
    monkeypatch.setattr(
        colour_tags_module, "head_of", lambda path, count: (opened.append(path), head_of(path, count))[1]
    )
    read_plate(path)
    read_plate(path)
    assert opened == [path]
    path.write_bytes(path.read_bytes().replace(b"FORMAT=", b"GAMMA=2.2\nFORMAT="))
    assert read_plate(path).header.colour["unfollowed"] == "GAMMA=2.2"
    assert opened == [path, path]


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_cut_anywhere_is_refused(tmp_path: Path, progressive: bool) -> None:
    """Of a progressive one libjpeg shows the coarse picture, and of one that is cut in its last header grey."""
    path = tmp_path / "p.jpg"
    bgr = picture(32)[..., ::-1]
    assert cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive), cv2.IMWRITE_JPEG_QUALITY, 99])
    data, whole = path.read_bytes(), read_plate(path).rgb
    scan = data.index(b"\xff\xda")
    for end in [*range(scan - 4, scan + 20), *range(scan + 20, len(data) - 4, 9)]:
        path.write_bytes(data[:end])
        with pytest.raises(PlateError):
            read_plate(path)
    filled = data[:2] + b"\xff" * 3 + data[2:]  # any number of these may stand before a marker
    path.write_bytes(filled + b"what a phone adds")
    assert (read_plate(path).rgb == whole).all()
    path.write_bytes(filled[: scan + 3 + 12])
    with pytest.raises(PlateError):
        read_plate(path)


@pytest.mark.parametrize("scheme", [34887, 34925, 50000, 34712])
def test_a_compression_without_decoder_is_not_reported_as_damage(tmp_path: Path, scheme: int) -> None:
    """LERC, LZMA, ZSTD and JPEG 2000 in TIFF: whichever this OpenImageIO has, it does not call such a file damaged."""
    with pytest.raises(PlateError) as refusal:
        read_plate(tiff(tmp_path / "p.tif", picture(), {259: ("H", (scheme,))}))
    missing = "not configured" in str(refusal.value) or "not implemented" in str(refusal.value)
    assert ("cannot decode it. Save it with another compression" in str(refusal.value)) == missing
    assert missing or "Check that the file is there" in str(refusal.value)


def test_a_tiff_with_video_codes_is_refused(tmp_path: Path) -> None:
    for black, white in ((0, 255), (16, 235)):
        tags = {532: ("I", (black, 1, white, 1) * 3)}
        for order in "<>":
            path = tiff(tmp_path / "p.tif", picture(), tags, order)
            if black:
                is_refused(path, "black and white at codes 16 and 235")
            else:
                holds(path, picture() / 255)
    luma_and_chroma = tiff(tmp_path / "p.tif", picture(), {**tags, 262: ("H", (6,))})
    assert misread(luma_and_chroma, "tiff", None) is None  # libtiff turns these into RGB of the full range


def test_a_damaged_header_gives_no_tags_and_no_error(tmp_path: Path) -> None:
    """A BigTIFF whose first directory is beyond all numbers, and a table of light without numbers."""
    path = tmp_path / "p.tif"
    path.write_bytes(b"II" + struct.pack("<HHHQ", 43, 8, 0, (1 << 64) - 2))
    assert colour_tags(path, "tiff") == {}
    assert misread(path, "tiff", None) is None
    assert colour_tags(tiff(path, picture(), {301: ("H", ())}), "tiff") == {TIFF_TRANSFER: ""}
