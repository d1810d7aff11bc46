import pytest
import torch

from bench.models.rates import Constant, Cosine, Rates, Sqrt, Staircase, WarmUp

STEPS, PER_EPOCH = 24, 4


def torch_rates(make):
    """The rates of torch's own scheduler, stepped after each step."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler, found = make(optimiser), []
    for _ in range(STEPS):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("rates", "peer"),
    [
        (Cosine(), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS)),
        (Staircase(2, 0.3), lambda o: torch.optim.lr_scheduler.StepLR(o, 2 * PER_EPOCH, 0.3)),
        (Constant(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
    ],
)
def test_rates_are_those_of_torch(rates: Rates, peer):
    """The whole run's rates against torch's scheduler."""
    assert rates.rates(0.2, STEPS, PER_EPOCH) == pytest.approx(torch_rates(peer))


def test_square_root():
    """After step c the rate is multiplied by sqrt(c / (c + 1))."""
    expected = [0.2]
    for c in range(1, STEPS):
        expected.append(expected[-1] * (c / (c + 1)) ** 0.5)
    assert Sqrt().rates(0.2, STEPS, PER_EPOCH) == pytest.approx(expected)


def test_warm_up():
    """A line up to the first rate of what follows; longer than the run, it is cut."""
    found = WarmUp(1.5, Cosine()).rates(0.7, STEPS, PER_EPOCH)
    assert found[:6] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert found[6:] == Cosine().rates(0.7, STEPS - 6, PER_EPOCH)
    assert len(WarmUp(100).rates(0.7, STEPS, PER_EPOCH)) == STEPS


def test_wrong_numbers_are_refused():
    """Steps of no epochs are named."""
    with pytest.raises(ValueError, match="epochs=0: wanted at least 1"):
        Staircase(0)
