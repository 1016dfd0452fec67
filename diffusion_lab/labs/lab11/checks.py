"""Lab 11: the loss of consistency models, and sampling with them."""

from diffusion_lab.labs.exercise import numbered
from diffusion_lab.labs.lab11.loss import ConsistencyLoss
from diffusion_lab.labs.lab11.sampling import SampleConsistency

consistency_loss, sample_consistency = numbered(11, ConsistencyLoss, SampleConsistency)
