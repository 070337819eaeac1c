# SPDX-License-Identifier: Apache-2.0
"""Writes whole image files by every writer of OpenImageIO, and movies of several containers, for the fuzz lane to
damage.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
import OpenImageIO as oiio

_WITHOUT_PIXELS = {"null", "term", "openvdb"}
HEIGHT, WIDTH, FRAMES = 24, 32, 8
_MOVIES = {
    "mpeg4.mp4": ("mpeg4", "yuv420p"),
    "mpeg4.mov": ("mpeg4", "yuv420p"),
    "prores.mov": ("prores_ks", "yuv422p10le"),
    "ffv1.mkv": ("ffv1", "yuv420p"),
    "mjpeg.avi": ("mjpeg", "yuvj420p"),
    "mpeg2.ts": ("mpeg2video", "yuv420p"),
    "mpeg2.mxf": ("mpeg2video", "yuv422p"),
    "vp8.webm": ("libvpx", "yuv420p"),
}


def write_images(folder: Path) -> list[Path]:
    """Write one file for each extension of each writer and kind of pixel that it takes."""
    folder.mkdir(parents=True, exist_ok=True)
    writers = oiio.get_string_attribute("output_format_list").split(",")
    extensions = dict(each.split(":") for each in oiio.get_string_attribute("extension_list").split(";") if ":" in each)
    written = []
    for writer in writers:
        if writer in _WITHOUT_PIXELS:
            continue
        extension = extensions.get(writer, writer).split(",")[0]
        for kind in ("uint8", "uint16", "half", "float"):
            for channels in (1, 3, 4):
                path = folder / f"{writer}-{kind}-{channels}.{extension}"
                if _write(path, kind, channels):
                    written.append(path)
    progressive = folder / "jpeg-progressive.jpg"
    if _write(progressive, "uint8", 3, {"jpeg:progressive": 1}):
        written.append(progressive)
    return written


def _write(path: Path, kind: str, channels: int, more: Mapping[str, int] = MappingProxyType({})) -> bool:
    """Write a gradient; whether the writer took it as it is."""
    spec = oiio.ImageSpec(WIDTH, HEIGHT, channels, kind)
    spec.attribute("Artist", "Somebody")
    for name, value in more.items():
        spec.attribute(name, value)
    spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), (24000, 1001))
    across, down = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    pixels = np.stack([across, down, across * down, down])[:channels].transpose(1, 2, 0).astype(np.float32)
    output = oiio.ImageOutput.create(str(path))
    whole = output is not None and output.open(str(path), spec) and output.write_image(np.ascontiguousarray(pixels))
    if output is not None:
        output.close()
    oiio.geterror()
    if not whole or oiio.ImageInput.open(str(path)) is None:
        path.unlink(missing_ok=True)
        return False
    return True


def write_movies(folder: Path) -> list[Path]:
    """Write a movie of each kind that this FFmpeg can make."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (codec, pixels) in _MOVIES.items():
        try:
            _write_movie(folder / name, codec, pixels)
        except (av.FFmpegError, ValueError):
            (folder / name).unlink(missing_ok=True)
        else:
            written.append(folder / name)
    return written


def _write_movie(path: Path, codec: str, pixels: str) -> None:
    with av.open(str(path), "w") as movie:
        stream = movie.add_stream(codec, rate=Fraction(24))
        stream.width, stream.height, stream.pix_fmt = (720, 576, pixels) if path.suffix == ".mxf" else (160, 96, pixels)
        stream.gop_size = 4
        down, across = np.mgrid[: stream.height, : stream.width]
        for number in range(FRAMES):
            rgb = np.stack([across + 20 * number, down * 2, across * 0 + 16 * number], -1).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")):
                movie.mux(packet)
        for packet in stream.encode():
            movie.mux(packet)
