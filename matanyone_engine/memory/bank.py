# SPDX-License-Identifier: Apache-2.0
"""Keeps the memory bank: which tokens of which frames are remembered.

Rules of this file:
1. A bank is a value: adding, forgetting and counting return a new bank and leave the old one as it was, so a failed
   frame changes nothing and a snapshot needs no lock.
2. Tokens lie in reading order, long-term prototypes first, then the permanent frame, then temporary frames from old
   to new, in one block that is read without a copy.
3. It knows tensors and limits; which frames are worth storing is matting/schedule.py's business.

Axes: B batch, N tokens, P tokens of one frame, K key channels, V value channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from matanyone_engine.memory.long_term import LongTermPolicy
from matanyone_engine.memory.read import DEFAULT_BLOCK_BYTES, Reading, read, similarity

FRESH_LIFE = 1e-7
"""Life of a token that no read has counted yet; keeps use / life finite."""


@dataclass(frozen=True)
class Tokens:
    """Holds stored tokens of any number of frames.

    The last three are kept only for long-term memory, which has to tell useful tokens from idle ones.
    """

    key: Tensor
    """(B, N, K)."""
    shrinkage: Tensor
    """(B, N)."""
    value: Tensor
    """(B, N, V)."""
    selection: Tensor | None = None
    """(B, N, K)."""
    use: Tensor | None = None
    """(B, N): weight given by all queries of all reads."""
    life: Tensor | None = None
    """(B, N): reads survived."""

    def __len__(self) -> int:
        return self.key.shape[1]

    def map(self, change: Callable[[Tensor], Tensor]) -> Tokens:
        """Return tokens with every tensor that is there changed alike."""
        return Tokens(**{name: change(tensor) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """Map field names to tensors; absent ones are left out."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in every.items() if tensor is not None}

    def part(self, start: int, stop: int | None = None) -> Tokens:
        """Return tokens start..stop, without a copy."""
        return self.map(lambda x: x[:, start:stop])

    def pick(self, index: Tensor) -> Tokens:
        """Return tokens by number, index (B, n)."""
        return self.map(lambda x: _gather(x, index))

    @classmethod
    def joined(cls, parts: list[Tokens]) -> Tokens:
        """Join parts one after another; they are copied unless there is only one."""
        filled = [part for part in parts if len(part)]
        if len(filled) == 1:
            return filled[0]
        names = filled[0].tensors()
        return cls(**{name: torch.cat([getattr(part, name) for part in filled], dim=1) for name in names})


def _gather(x: Tensor, index: Tensor) -> Tensor:
    wide = index if x.dim() == 2 else index.unsqueeze(-1).expand(-1, -1, x.shape[-1])
    return x.gather(1, wide)


@dataclass(frozen=True)
class MemoryBank:
    """Holds working memory and, where limits for it are given, long-term memory of one object."""

    frames: int
    """Frames of working memory kept, the permanent one included; not used with long-term memory."""
    long_term: LongTermPolicy | None = None
    tokens: Tokens | None = None
    prototypes: int = 0
    """Tokens at the front that are long-term."""
    stored: tuple[int, ...] = ()
    """Tokens of each frame of working memory, the permanent one first; they differ where a window changed its size."""

    @property
    def temporary(self) -> int:
        """Returns the tokens at the back that may be evicted."""
        return sum(self.stored[1:])

    def added(self, frame: Tokens) -> MemoryBank:
        """Store one frame's tokens with their selection; the first frame of an empty working memory is permanent."""
        fresh = self._fresh(frame)
        tokens = fresh if self.tokens is None else Tokens.joined([self.tokens, fresh])
        grown = replace(self, tokens=tokens, stored=(*self.stored, len(frame)))
        return grown._evicted() if self.long_term is None else grown._consolidated(self.long_term)

    def forgotten(self) -> MemoryBank:
        """Return the bank with its working memory emptied."""
        kept = None if self.tokens is None or not self.prototypes else self.tokens.part(0, self.prototypes)
        return replace(self, tokens=kept, stored=())

    def pinned(self, others: list[MemoryBank], *, farther: float = 1.0) -> MemoryBank:
        """Add the permanent frame of each of the other banks as permanent, its squared distances times `farther`.

        Raises LookupError unless all banks hold one frame of working memory, as after a seed.
        """
        if any(len(bank.stored) != 1 or bank.prototypes for bank in (self, *others)):
            raise LookupError("frames are pinned to a bank, and taken from banks, that hold one frame each")
        moved = [replace(bank._stored(), shrinkage=bank._stored().shrinkage * farther) for bank in others]
        tokens = Tokens.joined([self._stored(), *moved])
        return replace(self, tokens=tokens, stored=(len(tokens),))

    def following(self, other: MemoryBank) -> MemoryBank:
        """Add the temporary frames of another bank as temporary, older than those to come.

        Raises LookupError unless this bank holds one frame of working memory, as after a seed.
        """
        if len(self.stored) != 1:
            raise LookupError("a bank takes over frames right after a seed, while it holds one frame")
        start = other.prototypes + sum(other.stored[:1])
        taken = other._stored().part(start, None)
        return replace(self, tokens=Tokens.joined([self._stored(), taken]), stored=(*self.stored, *other.stored[1:]))

    def read(
        self,
        query: Tensor,
        selection: Tensor,
        *,
        top_k: int | None,
        block_bytes: int = DEFAULT_BLOCK_BYTES,
        half_search: bool = False,
    ) -> tuple[Tensor, MemoryBank]:
        """Return values (B, P, V) for the queries (B, P, K), and the bank with this read counted."""
        tokens = self._stored()
        reading = read(
            tokens.key,
            tokens.shrinkage,
            tokens.value,
            query,
            selection,
            top_k=top_k,
            count_use=self.long_term is not None,
            block_bytes=block_bytes,
            half_search=half_search,
        )
        return reading.value, self._counted(reading)

    def _stored(self) -> Tokens:
        if self.tokens is None:
            raise LookupError("the bank is empty: the schedule must store a frame before it reads one")
        return self.tokens

    def _fresh(self, frame: Tokens) -> Tokens:
        if self.long_term is None:
            return replace(frame, selection=None)
        return replace(frame, use=torch.zeros_like(frame.shrinkage), life=torch.full_like(frame.shrinkage, FRESH_LIFE))

    def _counted(self, reading: Reading) -> MemoryBank:
        tokens = self._stored()
        if reading.use is None or tokens.use is None or tokens.life is None:
            return self
        return replace(self, tokens=replace(tokens, use=tokens.use + reading.use, life=tokens.life + 1))

    def _evicted(self) -> MemoryBank:
        """Keep the permanent frame and the newest frames - 1 temporary ones."""
        surplus = len(self.stored) - self.frames
        if surplus <= 0:
            return self
        first, *temporary = self.stored
        tokens, gone = self._stored(), sum(temporary[:surplus])
        kept = Tokens.joined([tokens.part(0, first), tokens.part(first + gone)])
        return replace(self, tokens=kept, stored=(first, *temporary[surplus:]))

    def _consolidated(self, limits: LongTermPolicy) -> MemoryBank:
        """Turn all but the newest temporary frames into prototypes once there are too many of them."""
        if len(self.stored) < limits.max_frames:
            return self
        tokens, first = self._stored(), self.stored[0]
        newest = self.stored[len(self.stored) - (limits.min_frames - 1) :]
        permanent_end = self.prototypes + first
        candidates_end = len(tokens) - sum(newest)
        kept = _useful(tokens.part(0, self.prototypes), limits)
        prototypes = potentiated(tokens.part(permanent_end, candidates_end), limits.prototypes)
        parts = [kept, prototypes, tokens.part(self.prototypes, permanent_end), tokens.part(candidates_end)]
        joined, count = Tokens.joined(parts), len(kept) + len(prototypes)
        return replace(self, tokens=joined, prototypes=count, stored=(first, *newest))


def _usage(tokens: Tokens) -> Tensor:
    """Return the mean weight per read, (B, N)."""
    if tokens.use is None or tokens.life is None:
        raise LookupError("these tokens were stored without use counters")
    return tokens.use / tokens.life


def _useful(stored: Tokens, limits: LongTermPolicy) -> Tokens:
    """Return the long-term tokens that stay when the next prototypes come: all, or the most used where room runs
    out.
    """
    if len(stored) < limits.max_tokens - limits.prototypes:
        return stored
    room = max(0, limits.max_tokens - limits.prototypes - limits.buffer_tokens)
    index = torch.topk(_usage(stored), min(room, len(stored)), dim=1).indices
    return stored.pick(index.sort(dim=1).values)


def potentiated(candidates: Tokens, count: int) -> Tokens:
    """Turn the most used candidates into prototypes that gather the values of all candidates like them."""
    index = torch.topk(_usage(candidates), min(count, len(candidates)), dim=1).indices
    chosen = candidates.pick(index)
    if chosen.selection is None:
        raise LookupError("long-term memory needs the selection of every stored token")
    similar = similarity(candidates.key, candidates.shrinkage, chosen.key, chosen.selection)
    weight = torch.softmax(similar, dim=-1)
    return replace(
        chosen,
        shrinkage=(weight @ candidates.shrinkage.unsqueeze(-1)).squeeze(-1),
        value=weight @ candidates.value,
        use=torch.zeros_like(chosen.shrinkage),
        life=torch.full_like(chosen.shrinkage, FRESH_LIFE),
    )
