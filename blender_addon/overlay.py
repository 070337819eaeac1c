# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the matte over the plate in the Movie Clip and Image editors; strip.py draws in the timeline.

Rules of this file:
1. It draws what reader has read, and never waits: a frame that is not there yet appears a moment later.
2. Only an editor that shows the plate of the scene's shot gets the matte of that plate.
"""

from __future__ import annotations

import bpy
import gpu
from gpu_extras.batch import batch_for_shader

from . import brush, plan, scene, session, strip
from .alphas import Picture, Reader

MODES = (
    ("OFF", "Off", "Show the plate without its alpha", "HIDE_ON", 0),
    ("RED", "Red Veil", "Lay a red veil over what the alpha keeps", "SEQUENCE_COLOR_01", 1),
    ("GREEN", "Green Veil", "Lay a green veil over what the alpha keeps", "SEQUENCE_COLOR_04", 2),
    ("ALPHA", "Alpha", "Show the alpha in black and white", "IMAGE_ALPHA", 3),
    ("OUTLINE", "Outline", "Draw a line where the alpha is one half", "MESH_CIRCLE", 4),
    ("CHECKER", "Checker", "Show the plate over a checkerboard, as the alpha keeps it", "TEXTURE", 5),
)
_NUMBERS = {name: number for name, *_, number in MODES}
AREA, KEPT_AREA = "AREA", "KEPT_AREA"
"""The modes in which a painted area is shown, while one paints and afterwards; no choices of the panel."""
_NUMBERS.update({AREA: _NUMBERS["GREEN"], KEPT_AREA: _NUMBERS["OUTLINE"]})
_BLUE = (0.1, 0.6, 1.0)
_VEILS = {"RED": (1.0, 0.1, 0.1), "GREEN": (0.1, 1.0, 0.2), "OUTLINE": (1.0, 0.85, 0.1), AREA: _BLUE, KEPT_AREA: _BLUE}
_AREA_WIDE, _AREAS_KEPT = 480, 8
"""Pixels across of an area that is shown, and how many of them are remembered."""
_TEXTURES = 4
"""How many pictures the graphics card keeps."""
_POLL_S = 0.01

_VERTEX = """
void main() { uv = at; gl_Position = ModelViewProjectionMatrix * vec4(pos, 0.0, 1.0); }
"""
_FRAGMENT = """
void main()
{
  float a = clamp(texture(alpha, uv).r, 0.0, 1.0);
  vec3 grey = vec3(mod(floor(gl_FragCoord.x / 12.0) + floor(gl_FragCoord.y / 12.0), 2.0) < 0.5 ? 0.35 : 0.55);
  float edge = 1.0 - smoothstep(0.6, 1.4, abs(a - 0.5) / max(fwidth(a), 0.0001));
  if (mode == 3) { color = vec4(vec3(a), 1.0); }
  else if (mode == 4) { color = vec4(veil, edge); }
  else if (mode == 5) { color = vec4(grey, 1.0 - a); }
  else { color = vec4(veil, 0.5 * a); }
}
"""


class _Here:
    """Holds all that this module remembers."""

    def __init__(self):
        self.reader = Reader()
        self.shader = None
        self.textures = {}
        """A few pictures by their id, each with its texture."""
        self.handlers = []
        self.live = None
        """Plate frame and file of a mask that is being made by clicks: it is shown in place of the alpha."""
        self.painting = False
        """Whether an area is being painted, which the brush draws itself."""
        self.areas = {}
        """A few painted areas by their strokes and the plate's size, each as a picture."""


here = _Here()


# ------------------------------------------------------------------------------------------------ which picture


def file_at(home):
    """Return the file with the selected object's alpha on the scene's frame; '' where no run has made one."""
    shot = home.matanyone
    made = plan.made_from(shot.made)
    run = session.run_of(home)
    patterns = dict(run.patterns) if run is not None and run.over is None and run.patterns else {}
    if not patterns and made is not None:
        patterns = {name: scene.full(pattern) for name, pattern in made.patterns.items()}
    if not patterns:
        return ""
    pattern = patterns.get(selected(shot)) or next(iter(patterns.values()))
    return plan.file_of(pattern, _plate_frame(home))


def selected(shot):
    """Return the name of the selected object; '' where there is none."""
    return shot.objects[shot.object_index].name if shot.object_index < len(shot.objects) else ""


def _plate_frame(home):
    """Return the plate frame that the scene is at."""
    shot = home.matanyone
    source = shot.clip if shot.plate == "CLIP" else shot.image
    return scene.time_of(shot, source).plate_frame(home.frame_current)


def _shows_our_plate(space, shot):
    shown = getattr(space, "clip", None) or getattr(space, "image", None)
    return shown is not None and shown in (shot.clip, shot.image)


def _wanted(home):
    """Return the file to show on the scene's frame, and how; a file of '' shows nothing."""
    if here.live is not None and here.live[0] == _plate_frame(home):
        return here.live[1], "GREEN"
    mode = home.matanyone.show
    return ("" if mode == "OFF" else file_at(home)), mode


# ------------------------------------------------------------------------------------------------ drawing


def _draw():
    """Draw over a Movie Clip or Image editor; Blender calls this after it has drawn one."""
    context = bpy.context
    if not _shows_our_plate(context.space_data, context.scene.matanyone):
        return
    _shader()  # made when the plate is first seen, since that takes 40 ms of a run otherwise
    file, mode = _wanted(context.scene)
    live = here.live is not None and file == here.live[1]
    picture = here.reader.ask(file, "" if live else selected(context.scene.matanyone)) if file else None
    _keep_looking()
    if picture is not None:
        draw_picture(context.region, picture, mode)
    area = area_at(context.scene)
    if area is not None:
        draw_picture(context.region, area, KEPT_AREA)


def area_at(home):
    """Return what was painted on the scene's frame for the selected object, as a picture; None where nothing is to be
    shown.
    """
    shot = home.matanyone
    if here.painting or not shot.show_area or scene.selected(shot) is None:
        return None
    found = scene.area_on(shot, _plate_frame(home))
    if found is None:
        return None
    shown = shot.clip if shot.plate == "CLIP" else shot.image
    key = (found.strokes, *shown.size[:])
    if key not in here.areas:
        while len(here.areas) >= _AREAS_KEPT:
            here.areas.pop(next(iter(here.areas)))
        here.areas[key] = _painted(found.strokes, key[1] / max(1, key[2]))
    return here.areas[key]


def _painted(strokes, aspect):
    """Paint strokes small enough for a screen. aspect: of the plate, its width by its height."""
    canvas = brush.Canvas(_AREA_WIDE, max(1, round(_AREA_WIDE / max(aspect, 0.01))))
    canvas.paint(brush.strokes_from(strokes))
    return Picture(canvas.values.shape[1], canvas.values.shape[0], canvas.values)


def draw_picture(region, picture, mode):
    """Draw an alpha over the picture of an editor's region. picture: alphas.Picture. mode: of MODES, or one of
    the two for areas.
    """
    (left, bottom), (right, top) = (region.view2d.view_to_region(*spot, clip=False) for spot in ((0, 0), (1, 1)))
    shader = _shader()
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    batch = batch_for_shader(shader, "TRI_FAN", {"pos": corners, "at": [(0, 0), (1, 0), (1, 1), (0, 1)]})
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_sampler("alpha", _texture(picture))
    shader.uniform_int("mode", _NUMBERS[mode])
    shader.uniform_float("veil", _VEILS.get(mode, (1.0, 1.0, 1.0)))
    shader.uniform_float(
        "ModelViewProjectionMatrix", gpu.matrix.get_projection_matrix() @ gpu.matrix.get_model_view_matrix()
    )
    batch.draw(shader)
    gpu.state.blend_set("NONE")


def _texture(picture):
    """Return the picture on the graphics card, which it is sent to once."""
    known = here.textures.get(id(picture))
    if known is None:
        values = gpu.types.Buffer("FLOAT", (picture.height, picture.width), picture.values)
        texture = gpu.types.GPUTexture((picture.width, picture.height), format="R16F", data=values)
        while len(here.textures) >= _TEXTURES:
            here.textures.pop(next(iter(here.textures)))
        known = here.textures[id(picture)] = (picture, texture)
    return known[1]


def _shader():
    if here.shader is None:
        info = gpu.types.GPUShaderCreateInfo()
        passed = gpu.types.GPUStageInterfaceInfo("matanyone_overlay")
        passed.smooth("VEC2", "uv")
        info.vertex_in(0, "VEC2", "pos")
        info.vertex_in(1, "VEC2", "at")
        info.vertex_out(passed)
        info.push_constant("MAT4", "ModelViewProjectionMatrix")
        info.push_constant("VEC3", "veil")
        info.push_constant("INT", "mode")
        info.sampler(0, "FLOAT_2D", "alpha")
        info.fragment_out(0, "VEC4", "color")
        info.vertex_source(_VERTEX)
        info.fragment_source(_FRAGMENT)
        here.shader = gpu.shader.create_from_info(info)
    return here.shader


# ------------------------------------------------------------------------------------------------ redrawing


def _keep_looking():
    if not bpy.app.timers.is_registered(_look) and here.reader.is_waiting():
        bpy.app.timers.register(_look, first_interval=_POLL_S)


def _look():
    """Draw again once a picture has come; a timer's function, which ends when nothing is awaited."""
    if here.reader.news():
        redraw()
    return _POLL_S if here.reader.is_waiting() else None


def redraw(kinds=("CLIP_EDITOR", "IMAGE_EDITOR")):
    """Have the editors of these kinds drawn again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in kinds:
                redraw_picture(area)


def redraw_picture(area):
    """Have the picture of an editor drawn again, and nothing else of it: panels and headers stay as they are."""
    for region in area.regions:
        if region.type == "WINDOW":
            region.tag_redraw()


def read_ahead(file):
    """Have a mask read that was made just now. On the network thread: the main one learns of it a moment later."""
    here.reader.look_again(file)


def show_live(frame, file):
    """Show a mask that was made just now in place of the alpha of its plate frame; read_ahead() has it read."""
    here.live = (frame, str(file))
    if here.reader.is_waiting():
        _keep_looking()  # it is drawn as soon as it was read
    else:
        here.reader.news()
        redraw()


def end_live():
    """Show the alpha again."""
    here.live = None
    redraw()


def register():
    """Have Blender call us when it draws, where it draws at all."""
    if bpy.app.background:
        return
    here.__init__()
    for space, draw in (
        (bpy.types.SpaceClipEditor, _draw),
        (bpy.types.SpaceImageEditor, _draw),
        (bpy.types.SpaceDopeSheetEditor, strip.draw),
    ):
        here.handlers.append((space, space.draw_handler_add(draw, (), "WINDOW", "POST_PIXEL")))


def unregister():
    """Leave nothing behind."""
    for space, handler in here.handlers:
        space.draw_handler_remove(handler, "WINDOW")
    here.handlers.clear()
    here.textures.clear()
    here.shader = None
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)
    here.reader.stop()
