# SPDX-License-Identifier: Apache-2.0
"""Defines the engine's error family.

    EngineError
    ├── BadInput                the input cannot be used; nothing was computed
    │   ├── PlateError          a plate frame is missing, unreadable, of another size, not finite
    │   ├── MaskError           a mask is empty, of another size, unreadable
    │   ├── FrameRangeError     a frame range or a sequence pattern cannot be read
    │   ├── ColourError         a colour space is unknown, or must be named
    │   ├── SettingError        an option or a settings file is wrong
    │   ├── DatasetError        training data is missing or laid out otherwise
    │   └── CheckpointError     a weights file is not what it should be
    │       └── WeightsNotFound a registered model is not on this machine
    ├── IllegalMove             the session was asked for something its state does not allow
    ├── SnapshotError           a snapshot is damaged
    │   └── ForeignSnapshot     a snapshot belongs to another network
    ├── LicenceRefused          a studio policy does not allow this model's licence
    ├── DeviceError             the device asked for is not there
    ├── OutOfMemory             the device or the machine has no room left
    ├── OutputError             a result could not be written; nothing half-written was left
    ├── FetchError              weights could not be downloaded
    ├── EngineUnreachable       there is no running engine, or it does not answer
    ├── RefusedByEngine         the running engine would not, or could not, do it
    ├── AlreadyRunning          another worker is at the very same frames
    ├── PartlyDone              some shots of a batch failed; the others are finished
    ├── BadResult               the network answered with something that must not be shown as an alpha
    ├── Doubtful                all is written, but most frames of an object cannot be trusted
    ├── Defect                  a fault of this program stopped one of several pieces of work
    └── Interrupted             the user stopped the work; finished frames are kept

Rules of this file:
1. Every error says what was expected, what came, and what to do. The three parts are separate, so that a host can lay
   them out.
2. This file imports no module of the package and no large library.
"""

from __future__ import annotations


def shortened(text: str, most: int = 80) -> str:
    """Return a text for use in a sentence. One longer than `most` is cut, and its length is added."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


class EngineError(Exception):
    """Base of the family.

    expected: what a right input would have been.
    came:     what was found instead.
    action:   what the user can do about it, as a sentence.
    """

    def __init__(self, *, expected: str, came: str, action: str) -> None:
        self.frame: int | None = None
        """The frame at which a run stopped, if the error stopped one."""
        self.expected = expected
        self.came = came
        self.action = action
        super().__init__(f"expected {expected}; got {came}. {action}")

    def __reduce__(self) -> tuple[object, ...]:
        """Return how to make the error again in another process (engine/sandbox.py)."""
        return _rebuilt, (type(self), self.expected, self.came, self.action)


class BadInput(EngineError):
    """The input cannot be used. It is raised before any work starts if that can be known then."""


class PlateError(BadInput):
    """A plate frame is missing, unreadable, of another size, or holds values that are not numbers."""


class MaskError(BadInput):
    """A mask, or the input for one, is empty, unreadable or of another size."""


class FrameRangeError(BadInput):
    """A frame range or a sequence pattern cannot be read or matches nothing."""


class ColourError(BadInput):
    """A colour space is unknown, or has to be named because the file does not say."""


class SettingError(BadInput):
    """An option or a settings file is wrong."""


class DatasetError(BadInput):
    """Training data is missing, or laid out otherwise than its layout says."""


class CheckpointError(BadInput):
    """A weights file is not what it should be."""


class WeightsNotFound(CheckpointError):
    """A registered model's file is not on this machine."""


class IllegalMove(EngineError):
    """The session was asked for something its state does not allow."""


class SnapshotError(EngineError):
    """A snapshot is damaged, or cannot be used for another reason."""


class ForeignSnapshot(SnapshotError):
    """A snapshot belongs to another network."""


class LicenceRefused(EngineError):
    """A studio policy does not allow this model's licence."""


class DeviceError(EngineError):
    """The device asked for is not there."""


class OutOfMemory(EngineError):
    """The device or the machine has no room left."""


class OutputError(EngineError):
    """A result could not be written; nothing half-written was left behind."""

    @classmethod
    def of(cls, what: str, error: OSError) -> OutputError:
        """Return the error for a file that the system could not write. what: names the file, as in 'the contact sheet
        a.png'."""
        action = "Choose a folder with room in which you may write."
        return cls(expected=f"to write {what}", came=error.strerror or str(error), action=action)


class FetchError(EngineError):
    """Weights could not be downloaded."""


class EngineUnreachable(EngineError):
    """There is no running engine, or it does not answer."""


class RefusedByEngine(EngineError):
    """The running engine has refused a request or could not carry it out."""


class AlreadyRunning(EngineError):
    """Another worker is computing the same frames; nothing was computed."""


class PartlyDone(EngineError):
    """Some shots of a batch failed; the others are finished."""


class BadResult(EngineError):
    """The network's answer must not be shown as an alpha (not a number)."""


class Doubtful(EngineError):
    """Every frame is written, but most alphas of an object cannot be trusted: the subject was most likely lost."""


class Defect(EngineError):
    """A defect of this program stopped one shot of a batch; the others went on."""


class Interrupted(EngineError):
    """The user stopped the work; finished frames are kept."""


def _rebuilt(kind: type[EngineError], expected: str, came: str, action: str) -> EngineError:
    return kind(expected=expected, came=came, action=action)
