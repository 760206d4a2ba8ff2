"""From a request to an answer: authentication, routing, privileges, the hop to pvedaemon, and planned faults.

The order is pveproxy's: credentials before the body, privileges before parameters, parameters in pvedaemon.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from . import answers, parameters
from .api import router
from .api.method import Call, Environment, Method
from .auth import ANYONE, Identity, check_privileges
from .daemon import HopTimeout
from .errors import ApiError, HttpError
from .faults import FaultPlan, Rule
from .http1 import Request, Response
from .profiles import Profile
from .sabotage import Cut, spoil
from .schema import verify

UNAUTHORIZED_DELAY_S = 3.0


@dataclass
class Settings:
    """What can be switched while the lab runs."""

    profile: Profile
    unauthorized_delay_s: float = UNAUTHORIZED_DELAY_S


@dataclass
class Outcome:
    """An answer, what the request turned out to be, and the fault that met it; ``cut`` means no answer at all."""

    response: Response
    kind: str = "other"
    vmid: int | None = None
    fault: Rule | None = None
    cut: bool = False


@dataclass(frozen=True)
class _Target:
    """What a request is for."""

    method: Method
    uri_params: dict[str, str]
    form: str
    profile: Profile

    @property
    def vmid(self) -> int | None:
        text = self.uri_params.get("vmid", "")
        return int(text) if text.isdigit() else None

    def gauges(self) -> list[str]:
        """The names under which calls in flight are counted."""
        node = [f"node {self.uri_params['node']}"] if "node" in self.uri_params else []
        return node if self.vmid is None else [*node, f"vm {self.vmid}"]

    def failure(self, status: int, message: str) -> Response:
        return answers.failure(ApiError(status, message), self.form, self.profile)

    def got_timeout(self) -> Response:
        command = f"guest-{self.method.kind}"
        return self.failure(500, f"VM {self.vmid} qga command '{command}' failed - got timeout\n")


class Gateway:
    """Answers requests under ``/api2``."""

    def __init__(self, env: Environment, settings: Settings, faults: FaultPlan) -> None:
        self._env = env
        self.settings = settings
        self._faults = faults

    def authenticate(self, request: Request) -> Identity:
        """Who sent the request; raises the 401 answer. Needs only the headers."""
        uri, form = _split(request.path)
        if not form:
            raise HttpError(501, "no such uri")
        found = router.find(request.method, uri)
        if found and found[0].public:
            return ANYONE
        try:
            return self._env.authority.identify(request.method, request.headers)
        except HttpError as error:
            error.delay_s = self.settings.unauthorized_delay_s
            raise

    def handle(self, request: Request, identity: Identity) -> Outcome:
        """Answer one whole request."""
        uri, form = _split(request.path)
        if form not in answers.FORMS:
            raise HttpError(501, f"no formatter for uri {uri}, {form}")
        found = router.find(request.method, uri)
        if found is None:
            missing = ApiError(501, f"Method '{request.method} {uri}' not implemented")
            return Outcome(answers.failure(missing, form, self.settings.profile))
        target = _Target(*found, form, self.settings.profile)
        gauges = target.gauges()
        self._env.observer.enter(*gauges)
        fault = self._faults.strike(target.method.kind, target.vmid)
        outcome = Outcome(Response(200, "OK"), target.method.kind, target.vmid, fault)
        try:
            early = None if fault is None else _before(fault, target)
            outcome.response = early or self._answer(request, identity, target, fault)
            if early is None and fault is not None:
                outcome.response = _after(fault, outcome.response, target)
        except Cut:
            outcome.cut = True
        finally:
            self._env.observer.leave(*gauges)
        return outcome

    def _answer(self, request: Request, identity: Identity, target: _Target, fault: Rule | None) -> Response:
        try:
            response = self._call(request, identity, target, fault)
        except ApiError as error:
            response = answers.failure(error, target.form, target.profile)
        except HttpError as error:
            if error.status == 401:
                error.delay_s = self.settings.unauthorized_delay_s
            response = answers.refusal(error, target.form)
        except HopTimeout:
            response = Response(596, "Connection timed out")
        return answers.compressed(response) if request.accepts_gzip() else response

    def _call(self, request: Request, identity: Identity, target: _Target, fault: Rule | None) -> Response:
        """Check privileges, then run the method: here, or in a worker of the node where it must run."""
        method, profile, cluster = target.method, target.profile, self._env.cluster
        params = parameters.collect(request, method, target.uri_params, profile)
        if not method.allow_token and "PVEAPIToken" in request.headers.get("authorization", ""):
            reason = f"URI '{method.path}' not available with API token, need proper ticket."
            raise ApiError(403, f"Permission check failed ({reason}\n)\n")
        if needed := method.needed(profile):
            check_privileges(identity, f"/vms/{params['vmid']}", needed)
        node = cluster.resolve_node(params["node"]) if "node" in params else cluster.local_node

        def work() -> Response:
            try:
                verified = verify(params, method.params(profile))
                return answers.success(method.handler(Call(self._env, profile, identity, node, verified)), target.form)
            except ApiError as error:
                return answers.failure(error, target.form, profile)

        def deliver() -> Response:
            if not method.protected and node == cluster.local_node:
                return work()
            return answers.over_the_hop(cluster.daemons[node].call(work))

        return _twice(deliver, fault.answer) if fault is not None and fault.action == "twice" else deliver()


def _twice(deliver: Callable[[], Response], answer: str) -> Response:
    """Deliver a request two times, as a proxy does that lost the first answer."""
    first, second = deliver(), deliver()
    return first if answer == "first" else second


def _before(fault: Rule, target: _Target) -> Response | None:
    """What a fault does before the node acts; None lets the call go on."""
    time.sleep(fault.delay_s)
    match fault.action:
        case "cut-before":
            raise Cut
        case "status-before":
            return Response(fault.status, fault.reason)
        case "not-running":
            return target.failure(500, "QEMU guest agent is not running\n")
        case "timeout-before":
            return target.got_timeout()
    return None


def _after(fault: Rule, response: Response, target: _Target) -> Response:
    """What a fault makes of the answer to a call that was carried out."""
    match fault.action:
        case "cut-after":
            raise Cut
        case "status-after":
            return Response(fault.status, fault.reason)
        case "timeout-after":
            return target.got_timeout()
        case "cut-mid" | "garbage":
            return spoil(response, fault)
    return response


def _split(path: str) -> tuple[str, str]:
    """The URI below the form's name, and that name (``json``, ``extjs``); an empty name for no such URI."""
    form, slash, uri = path.removeprefix("/api2").lstrip("/").partition("/")
    return slash + uri or "/", form if form.isalnum() and form[0].isalpha() else ""
