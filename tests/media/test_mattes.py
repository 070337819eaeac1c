# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest

from matanyone_engine.errors import BadResult, OutputError
from matanyone_engine.media.exr import read_planes
from matanyone_engine.media.file_info import read_facts
from matanyone_engine.media.images import DataWindow, PlateHeader, read_header
from matanyone_engine.media.masks import read_mask
from matanyone_engine.media.mattes import check_writable, least_bytes, write_alpha
from matanyone_engine.media.sequence import find_sequence

Write = Callable[..., Path]

PROVENANCE = {"model": "mini", "mask": "mäsk.png@1001"}


def header_of(width: int, height: int) -> PlateHeader:
    window = DataWindow(0, 0, width, height)
    return PlateHeader(Path("plate.exr"), window, window, 1.0, None, None, ("R", "G", "B"), {}, "openexr", "half")


def soft_alpha(height: int = 20, width: int = 33) -> np.ndarray:
    """0 to 1 with exact ends; not a multiple of anything."""
    return np.linspace(0, 1, height * width, dtype=np.float32).reshape(height, width)


def noise(height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).random((height, width), dtype=np.float32)


def stored(path: Path) -> tuple[oiio.ImageSpec, np.ndarray]:
    image = oiio.ImageInput.open(str(path))
    assert image is not None, oiio.geterror()
    pixels = image.read_image(oiio.FLOAT)
    assert pixels is not None, image.geterror()
    spec = image.spec().copy()
    image.close()
    return spec, pixels


# -------------------------------------------------------------------------------------------------------- layout


def test_the_default_layout(tmp_path: Path) -> None:
    """Half, ZIPS, RGBA all equal: seen in every viewer, and found where a host looks for an alpha (DR002)."""
    alpha = soft_alpha()
    write_alpha(tmp_path / "a.exr", alpha, header_of(33, 20), PROVENANCE)
    spec, pixels = stored(tmp_path / "a.exr")
    assert spec.channelnames == ("R", "G", "B", "A")
    assert spec.alpha_channel == 3
    assert spec.format == oiio.HALF
    assert spec.get_string_attribute("compression") == "zips"
    for channel in range(4):
        np.testing.assert_array_equal(pixels[..., channel], alpha.astype(np.float16))


def test_provenance_and_what_the_pixels_are(tmp_path: Path) -> None:
    write_alpha(tmp_path / "a.exr", soft_alpha(), header_of(33, 20), PROVENANCE)
    spec, _ = stored(tmp_path / "a.exr")
    assert spec.get_string_attribute("matanyone:model") == "mini"
    assert spec.get_string_attribute("matanyone:mask") == "mäsk.png@1001"
    assert spec.get_string_attribute("Software") == "MatAnyone Engine"
    assert spec.get_string_attribute("colorInteropID") == "data"


CARRIED = {
    "smpte:TimeCode": ("timecode", (0x10203017, 0)),
    "smpte:KeyCode": ("keycode", (1, 2, 3, 4, 5, 6, 64)),
    "worldToCamera": ("matrix", tuple(float(n) for n in range(16))),
    "cameraModel": "ALEXA 35",
    "focalLength": 32.0,
    "com.vendor.take": 7,
    "lens.offset": ("float[3]", (0.5, 1.5, 2.5)),
    "sensor": ("vector", (1.0, 2.0, 3.0)),
    "Exif:FNumber": 2.8,
    "screenWindowWidth": 1.25,
}
LEFT_BEHIND = {
    "chromaticities": ("float[8]", (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)),
    "whiteLuminance": 100.0,
    "matanyone:model": "an older alpha",
    "cryptomatte/1234567/name": "objects",
    "openexr:dwaCompressionLevel": 45.0,
    "ImageDescription": "what the plate shows",
}


def test_the_plates_header_is_carried_over_but_not_its_colour(write_image: Write, tmp_path: Path) -> None:
    attributes = {**CARRIED, **LEFT_BEHIND, "colorInteropID": "lin_ap1_scene", "PixelAspectRatio": 2.0}
    attributes["FramesPerSecond"] = ("rational", (24000, 1001))
    plate = write_image("p.exr", np.ones((4, 6, 3), np.float32), attributes=attributes)
    header = read_header(plate)
    write_alpha(tmp_path / "a.exr", soft_alpha(4, 6), header, {"version": "1"})
    before, after = stored(plate)[0], stored(tmp_path / "a.exr")[0]
    for name in (*CARRIED, "PixelAspectRatio", "FramesPerSecond"):
        assert before.getattribute(name) is not None, name
        assert after.getattribute(name) == before.getattribute(name), name
    for name in LEFT_BEHIND:
        assert before.getattribute(name) is not None or name.startswith("openexr"), name
        assert after.getattribute(name) is None, name
    assert after.get_string_attribute("colorInteropID") == "data"
    written = read_header(tmp_path / "a.exr")
    assert (written.timecode, written.fps, written.pixel_aspect) == ("10:20:30:17", Fraction(24000, 1001), 2.0)


def test_attributes_of_every_type_are_carried_over(write_image: Write, tmp_path: Path) -> None:
    """Their types too, of those that OpenImageIO writes: what it makes of them OpenEXR's package is given to write."""
    attributes = {
        "a:int": 5, "a:float": 1.5, "a:text": "ümlaut", "a:long": "q" * 3000,
        "a:int2": ("int2", (1, 2)), "a:int3": ("int[3]", (1, 2, 3)), "a:float2": ("float2", (1.0, 2.0)),
        "a:floats": ("float[5]", (1.0, 2.0, 3.0, 4.0, 5.0)), "a:vector": ("vector", (1.0, 2.0, 3.0)),
        "a:texts": ("string[2]", ("left", "right")), "a:m33": ("matrix33", tuple(map(float, range(9)))),
        "worldToCamera": ("matrix", tuple(map(float, range(16)))), "a:box": ("box2i", (0, 0, 1, 1)),
        "a:rational": ("rational", (2, 3)),
        "smpte:KeyCode": ("keycode", (1, 2, 3, 4, 5, 4, 64)), "smpte:TimeCode": ("timecode", (0x10203017, 0)),
    }  # fmt: skip
    plate = write_image("p.exr", np.ones((4, 6, 3), np.float32), attributes=attributes)
    write_alpha(tmp_path / "a.exr", soft_alpha(4, 6), read_header(plate), {})
    before, after = (
        {item.name: (str(item.type), item.value) for item in stored(path)[0].extra_attribs}
        for path in (plate, tmp_path / "a.exr")
    )
    assert len(before.keys() & attributes) >= 12
    for name in before.keys() & attributes:
        assert after.get(name) == before[name], name


def test_the_frame_rate_has_the_name_that_hosts_know(tmp_path: Path) -> None:
    """OpenEXR's own, in plates (OpenImageIO has another name for it) and in alphas, and once."""
    planes = {name: np.ones((4, 6), np.float16) for name in "RGB"}
    rate = Fraction(24000, 1001)
    OpenEXR.File({"framesPerSecond": rate, "type": OpenEXR.scanlineimage}, planes).write(str(tmp_path / "p.exr"))
    header = read_header(tmp_path / "p.exr")
    assert header.fps == rate
    assert read_facts(tmp_path / "p.exr").parts[0].fps == "24000/1001"
    write_alpha(tmp_path / "a.exr", soft_alpha(4, 6), header, {})
    written = OpenEXR.File(str(tmp_path / "a.exr")).header()
    assert [(name, value) for name, value in written.items() if name.lower() == "framespersecond"] == [
        ("framesPerSecond", rate)
    ]


def test_a_header_that_openexr_refuses_is_written_by_openimageio(write_image: Write, tmp_path: Path) -> None:
    """A key code of 7 perforations is no key code; OpenEXR's package opens no such file, OpenImageIO does."""
    attributes = {"smpte:KeyCode": ("keycode", (1, 2, 3, 4, 5, 6, 7))}
    plate = write_image("p.exr", np.ones((4, 6, 3), np.float32), attributes=attributes)
    assert read_planes(plate) is None
    write_alpha(tmp_path / "a.exr", soft_alpha(4, 6), read_header(plate), {})
    np.testing.assert_allclose(stored(tmp_path / "a.exr")[1][..., 3], soft_alpha(4, 6), atol=5e-4)


def test_a_dpx_plate_passes_on_timecode_and_rate(write_image: Write, tmp_path: Path) -> None:
    attributes = {"smpte:TimeCode": CARRIED["smpte:TimeCode"], "FramesPerSecond": 23.976}
    header = read_header(write_image("p.dpx", np.zeros((4, 6, 3), np.float32), "uint16", attributes=attributes))
    write_alpha(tmp_path / "a.exr", soft_alpha(4, 6), header, {})
    written = read_header(tmp_path / "a.exr")
    assert written.timecode == "10:20:30:17"
    assert written.fps == header.fps
    assert not any(item.name.startswith("dpx:") for item in written.attributes)


@pytest.mark.parametrize("origin", [(0, 0), (7, -3), (-100, 50)])
def test_the_alpha_fills_the_plates_display_window(write_image: Write, tmp_path: Path, origin: tuple[int, int]) -> None:
    display = (*origin, 9, 7)
    overscan = (origin[0] - 2, origin[1] - 1)
    header = read_header(write_image("p.exr", np.ones((10, 14, 3), np.float32), data_at=overscan, display=display))
    write_alpha(tmp_path / "a.exr", soft_alpha(7, 9), header, {})
    written = read_header(tmp_path / "a.exr")
    assert written.display_window == display
    assert written.data_window == display


@pytest.mark.parametrize("name", ["a.png", "a.tif", "A.TIFF"])
def test_sixteen_bit_grey(tmp_path: Path, name: str) -> None:
    alpha = np.arange(65536, dtype=np.float32).reshape(256, 256) / 65535
    write_alpha(tmp_path / name, alpha, header_of(256, 256), PROVENANCE)
    spec, pixels = stored(tmp_path / name)
    assert (spec.nchannels, spec.format, spec.alpha_channel) == (1, oiio.UINT16, -1)
    np.testing.assert_array_equal(np.rint(pixels[..., 0] * 65535), np.arange(65536).reshape(256, 256))
    assert "matanyone:model=mini" in spec.get_string_attribute("ImageDescription")


def test_a_png_claims_no_gamma(tmp_path: Path) -> None:
    write_alpha(tmp_path / "a.png", soft_alpha(), header_of(33, 20), {})
    content = (tmp_path / "a.png").read_bytes()
    assert not any(chunk in content for chunk in (b"sRGB", b"gAMA", b"cHRM", b"iCCP", b"cICP"))


@pytest.mark.parametrize("name", ["ä [1] %04d #.exr", "日本.0001.png", "sp ace.tif"])
def test_an_alpha_reads_back_as_a_mask(tmp_path: Path, name: str) -> None:
    alpha = soft_alpha()
    write_alpha(tmp_path / name, alpha, header_of(33, 20), {"ä": "日本"})
    np.testing.assert_allclose(read_mask(tmp_path / name, (33, 20)), alpha, atol=2**-12)


# ---------------------------------------------------------------------------------------- what must not be written


@pytest.mark.parametrize(
    ("value", "came"),
    [(np.nan, "1 pixels that are NaN"), (np.inf, "1 pixels"), (-1e-6, "values from"), (1.00001, "values from")],
)
def test_a_wrong_alpha_is_not_written(tmp_path: Path, value: float, came: str) -> None:
    alpha = soft_alpha()
    alpha[3, 4] = value
    with pytest.raises(BadResult, match=came):
        write_alpha(tmp_path / "a.exr", alpha, header_of(33, 20), {})
    assert list(tmp_path.iterdir()) == []


def test_an_alpha_of_another_size_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BadResult, match="shape"):
        write_alpha(tmp_path / "a.exr", soft_alpha(), header_of(20, 33), {})


# ------------------------------------------------------------------------------------------- disks and permissions


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """mount(options) -> a small file system of its own; skips where that is not allowed."""
    mounted: list[Path] = []

    def attach(options: str) -> Path:
        point = tmp_path / f"disk {len(mounted)}"
        point.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("no mount command here")
        if done.returncode:
            pytest.skip("this user may not mount a file system")
        mounted.append(point)
        return point

    yield attach
    for point in mounted:
        subprocess.run(["umount", str(point)], check=True)


@pytest.mark.parametrize("name", ["a.exr", "a.png", "a.tif"])
@pytest.mark.parametrize("room", [0, 4096, 16384])
def test_a_full_disk_leaves_nothing_and_keeps_what_was_there(
    mount: Callable[[str], Path], name: str, room: int
) -> None:
    folder = mount("size=256k")
    (folder / name).write_bytes(b"the frame of yesterday")
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize
    (folder / "ballast").write_bytes(bytes(free - room))
    with pytest.raises(OutputError, match="No space left"):
        write_alpha(folder / name, noise(256, 256), header_of(256, 256), {})
    assert sorted(path.name for path in folder.iterdir()) == [name, "ballast"]
    assert (folder / name).read_bytes() == b"the frame of yesterday"
    (folder / "ballast").unlink()
    write_alpha(folder / name, noise(), header_of(64, 64), {})
    assert stored(folder / name)[1].shape[:2] == (64, 64)


def test_a_disk_full_at_any_byte_gives_a_complete_file_or_none(mount: Callable[[str], Path]) -> None:
    """The room ends at every possible place in the file: in the header, the table, the pixels, at the close."""
    alpha, header = noise(48, 64), header_of(64, 48)
    outcomes = set()
    for pages in range(1, 12):
        folder = mount(f"size={pages * 4}k")
        try:
            write_alpha(folder / "a.exr", alpha, header, PROVENANCE)
        except OutputError:
            outcomes.add("none")
            assert list(folder.iterdir()) == []
        else:
            outcomes.add("whole")
            np.testing.assert_array_equal(stored(folder / "a.exr")[1][..., 3], alpha.astype(np.float16))
    assert outcomes == {"none", "whole"}


WRITE_WITH_A_LIMIT = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from matanyone_engine.errors import OutputError
from matanyone_engine.media.exr import read_planes
from matanyone_engine.media.file_info import read_facts
from matanyone_engine.media.images import PlateHeader, DataWindow
from matanyone_engine.media.mattes import write_alpha
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
window = DataWindow(0, 0, 128, 128)
header = PlateHeader(Path("p"), window, window, 1.0, None, None, ("Y",), {}, "openexr", "half")
try:
    write_alpha(Path(sys.argv[1]), np.random.default_rng(0).random((128, 128), dtype=np.float32), header, {})
except OutputError as error:
    print(error)
    sys.exit(42)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
@pytest.mark.parametrize("name", ["a.exr", "a.png", "a.tif"])
def test_a_file_that_cannot_grow_is_an_error(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", WRITE_WITH_A_LIMIT, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 42, done.stderr
    assert name in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_disk(mount: Callable[[str], Path]) -> None:
    folder = mount("ro")
    for attempt in (lambda: check_writable(folder), lambda: check_writable(folder / "new")):
        with pytest.raises(OutputError, match="Read-only file system"):
            attempt()
    with pytest.raises(OutputError, match="Read-only file system"):
        write_alpha(folder / "a.exr", soft_alpha(), header_of(33, 20), {})


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permission bits do not bind root")
def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="Permission denied"):
        check_writable(folder)
    with pytest.raises(OutputError, match="Permission denied"):
        write_alpha(folder / "a.exr", soft_alpha(), header_of(33, 20), {})


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("not a folder")
    for folder in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(OutputError, match=r"File exists|Not a directory"):
            check_writable(folder)
        with pytest.raises(OutputError, match="Not a directory"):
            write_alpha(folder / "a.exr", soft_alpha(), header_of(33, 20), {})


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.exr").mkdir()
    with pytest.raises(OutputError, match=r"a\.exr"):
        write_alpha(tmp_path / "a.exr", soft_alpha(), header_of(33, 20), {})
    assert [path.name for path in tmp_path.iterdir()] == ["a.exr"]


def test_a_missing_folder_is_not_made_while_writing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        write_alpha(tmp_path / "gone" / "a.exr", soft_alpha(), header_of(33, 20), {})


def test_a_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    folder = tmp_path / "ä" / "new [1]"
    free = check_writable(folder, expected_bytes=1)
    assert free > 0
    assert list(folder.iterdir()) == []


def test_too_little_room_is_an_error_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="MB free"):
        check_writable(tmp_path, expected_bytes=10**18)


def test_the_least_size_is_at_most_that_of_a_black_frame(tmp_path: Path) -> None:
    header = header_of(640, 360)
    write_alpha(tmp_path / "a.exr", np.zeros((360, 640), np.float32), header, {})
    assert 0 < least_bytes(header, 1) <= (tmp_path / "a.exr").stat().st_size
    assert least_bytes(header, 10) == pytest.approx(10 * least_bytes(header, 1), abs=10)


def test_a_left_over_temporary_file_is_no_frame(tmp_path: Path) -> None:
    """What a killed process may leave is found by no scanner: it is hidden and does not end in .exr."""
    write_alpha(tmp_path / "a.0001.exr", soft_alpha(), header_of(33, 20), {})
    (tmp_path / ".a.0002.exr.4711.tmp").write_bytes(b"half a frame")
    for text in (tmp_path, tmp_path / "a.####.exr", tmp_path / "a.#.exr"):
        assert find_sequence(text).frames == (1,)
