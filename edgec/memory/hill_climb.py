"""Improve a packing by changing the order in which first fit places the buffers."""

import random
from collections.abc import Sequence

from edgec.memory.first_fit import Buffers, height, place_in_order


def hill_climb(
    buffers: Buffers,
    neighbours: Sequence[Sequence[int]],
    order: Sequence[int],
    target: int,
    iteration_limit: int,
) -> list[int]:
    """Offsets at most as high as first fit in `order` gives; stops at `target` bytes or after `iteration_limit` tries.

    What ends at the peak is there because of what was placed before it. Each try picks a buffer at the peak, or one it
    rests on, directly or through others, and moves it to the place in the order of one of its neighbours that came
    earlier. A try that is not worse than the present packing is kept, so that the search walks along plateaus.
    The random numbers have a fixed seed: equal inputs give equal packings.
    """
    draw = random.Random(len(buffers))
    present = list(order)
    offsets = place_in_order(buffers, neighbours, present)
    score = _score(buffers, offsets)
    best_offsets, best_height = offsets, score[0]
    for _ in range(iteration_limit):
        if best_height <= target:
            break
        tried = _moved(buffers, neighbours, present, offsets, draw)
        tried_offsets = place_in_order(buffers, neighbours, tried)
        tried_score = _score(buffers, tried_offsets)
        if tried_score > score:
            continue
        present, offsets, score = tried, tried_offsets, tried_score
        if score[0] < best_height:
            best_offsets, best_height = offsets, score[0]
    return best_offsets


def _score(buffers: Buffers, offsets: Sequence[int]) -> tuple[int, int]:
    """Peak bytes, then how many buffers reach it."""
    peak = height(buffers, offsets)
    return peak, sum(1 for offset, size in zip(offsets, buffers.sizes) if offset + size == peak)


def _moved(
    buffers: Buffers,
    neighbours: Sequence[Sequence[int]],
    order: Sequence[int],
    offsets: Sequence[int],
    draw: random.Random,
) -> list[int]:
    rank = {index: position for position, index in enumerate(order)}
    peak = height(buffers, offsets)
    index = draw.choice([i for i in order if offsets[i] + buffers.sizes[i] == peak])
    while offsets[index] and draw.random() < 0.5:
        resting_on = [j for j in neighbours[index] if offsets[j] + buffers.sizes[j] == offsets[index]]
        if not resting_on:
            break
        index = draw.choice(resting_on)
    earlier = [j for j in neighbours[index] if rank[j] < rank[index]]
    changed = [j for j in order if j != index]
    goal = rank[draw.choice(earlier)] if earlier else draw.randrange(len(order))
    changed.insert(goal, index)
    return changed
