import numpy as np
import torch

from bench.seeding import name_of, stream, torch_generator


def test_stream_depends_on_seed_and_every_axis():
    """Equal names give equal numbers; another seed, axis or order gives others."""
    first = stream(3, "a", "b").random(4)
    np.testing.assert_array_equal(first, stream(3, "a", "b").random(4))
    for other in (stream(4, "a", "b"), stream(3, "b", "a"), stream(3, "ab"), stream(3)):
        assert not np.array_equal(first, other.random(4))


def test_name_tells_spawned_generators_apart():
    """A cache key must differ between the children of one generator."""
    children = stream(0, "case").spawn(3)
    assert len({name_of(child) for child in children}) == 3
    assert name_of(stream(0, "case").spawn(1)[0]) == name_of(children[0])


def test_torch_generator_repeats():
    """The same numpy generator gives the same torch numbers."""
    a, b = (torch.rand(3, generator=torch_generator(stream(0, "x"))) for _ in range(2))
    assert torch.equal(a, b)
