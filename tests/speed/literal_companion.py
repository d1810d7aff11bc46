"""The companions' search as its paper describes it, list by list and row by row."""

import math

import numpy as np

from bench.tasks.companion import CompanionProblem


class LiteralSearch:
    """Pan, Wang, Hara, AISTATS 2020, Sec. 4: each list is evaluated from its first rule on."""

    def __init__(self, problem: CompanionProblem) -> None:
        values = problem.train.literals.values
        self.covers = [rule.covers(values) for rule in problem.pool.rules]
        self.labels, self.black_box = problem.train.labels, problem.train.black_box
        self.alpha = problem.alpha

    def value(self, rules: list[int]) -> float:
        """AUTAC - alpha M."""
        n = len(self.labels)
        right = self.black_box == self.labels
        left = np.ones(n, dtype=bool)
        accuracy, transparency, area = right.mean(), 0.0, 0.0
        for rule in rules:
            captured = self.covers[rule] & left
            ones = self.labels[captured].sum()
            label = int(2 * ones > captured.sum())
            right = np.where(captured, self.labels == label, right)
            left = left & ~captured
            after, reached = right.mean(), 1 - left.mean()
            area += (after + accuracy) * (reached - transparency) / 2
            accuracy, transparency = after, reached
        return area - self.alpha * len(rules)

    def run(self, steps: int, rng: np.random.Generator, c0: float = 0.001) -> tuple[float, list]:
        """The best list that the chain meets."""
        n_rules = len(self.covers)
        current = rng.permutation(n_rules)[:3].tolist()
        value = self.value(current)
        best, best_value = current, value
        for step in range(steps):
            new = self.changed(current, rng.integers(4), int(rng.integers(n_rules)), rng)
            changed = self.value(new)
            temperature = c0 / math.log(2 + step)
            if changed >= value or rng.random() < math.exp((changed - value) / temperature):
                current, value = new, changed
            if value > best_value:
                best, best_value = current, value
        return best_value, best

    @staticmethod
    def changed(rules: list[int], move: int, rule: int, rng: np.random.Generator) -> list[int]:
        """Add, remove, swap or replace; the same list where that can't be."""
        new = list(rules)
        if move == 0:
            new.insert(int(rng.integers(len(new) + 1)), rule)
        elif move == 1 and new:
            del new[int(rng.integers(len(new)))]
        elif move == 2 and len(new) > 1:
            one, other = rng.permutation(len(new))[:2]
            new[one], new[other] = new[other], new[one]
        elif move == 3 and new:
            new[int(rng.integers(len(new)))] = rule
        return new
