"""The servers of one machine: MLflow, an S3 API, TorchServe and the release controller, on loopback, under one folder.

`up` starts what is not running and repairs what a kill left, `down` leaves nothing, `status` looks without touching.
What the servers serve is not known here; what other commands need to reach them is in `environment`.
"""

from thorax.stack.lifecycle import down, status, up
from thorax.stack.places import Addresses
from thorax.stack.servers import ServerStatus

__all__ = ["Addresses", "ServerStatus", "down", "status", "up"]
