"""For: one small walk-forward that several modules look at. Not for: numbers that mean anything."""

from ml.corpus import WalkSpec
from ml.policy import PolicyConfig

NAME = "rsi_swing"
TRAIN = 200
POLICY = PolicyConfig(train=TRAIN, step=5, refit=75)
SPEC = WalkSpec(policy=POLICY, synthetic=True)
VARIANTS = {
    "regime_aware",
    "regime_aware_single",
    "exported",
    "static",
    "experts",
    "default",
    "buy_and_hold",
}
