"""Rules over literals: binarisation, mining on packed bits, and ordered lists of rules."""

from bench.rules.bits import pack, sizes, unpack
from bench.rules.lists import Rule, RuleList
from bench.rules.literals import Literals, binarize
from bench.rules.mining import RulePool, Selection, mine
from bench.rules.partner import Partner

__all__ = [
    "Literals",
    "Partner",
    "Rule",
    "RuleList",
    "RulePool",
    "Selection",
    "binarize",
    "mine",
    "pack",
    "sizes",
    "unpack",
]
