"""What a REST method is made of, and what it is called with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..auth import Authority, Identity
from ..cluster import VM, Cluster
from ..observe import Observer
from ..profiles import Profile
from ..schema import Param


@dataclass(frozen=True)
class Environment:
    """What the methods work on."""

    cluster: Cluster
    authority: Authority
    observer: Observer


@dataclass(frozen=True)
class Call:
    """One call of a method, with verified parameters."""

    env: Environment
    profile: Profile
    identity: Identity
    node: str
    params: dict[str, Any]

    def vm(self) -> VM:
        """The VM that the call names, if it is on the node that the call went to."""
        return self.env.cluster.load_config(self.node, self.params["vmid"])


Handler = Callable[[Call], Any]
Schema = dict[str, Param] | Callable[[Profile], dict[str, Param]]


@dataclass(frozen=True)
class Method:
    """A registered method. ``privileges`` are alternatives on /vms/{vmid}: (PVE 9's, before PVE 9)."""

    verb: str
    path: str
    kind: str
    handler: Handler
    schema: Schema = field(default_factory=dict)
    privileges: tuple[list[str], list[str]] | None = None
    protected: bool = False
    public: bool = False
    allow_token: bool = True

    def params(self, profile: Profile) -> dict[str, Param]:
        return self.schema(profile) if callable(self.schema) else self.schema

    def needed(self, profile: Profile) -> list[str]:
        """The privileges any one of which allows the call."""
        if self.privileges is None:
            return []
        return self.privileges[0 if profile.guest_agent_privileges else 1]
