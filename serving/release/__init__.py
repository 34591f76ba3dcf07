"""The release of an approved version: what the registry's alias `champion` says becomes what serves, step by step."""

from serving.release.reconciling import Outcome, Release, ReleaseResult, reconcile

__all__ = ["Outcome", "Release", "ReleaseResult", "reconcile"]
