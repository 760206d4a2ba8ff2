"""From a request to an answer: authentication, routing, privileges, the hop to pvedaemon, and planned faults.

The order is pveproxy's: credentials before the body, privileges before parameters, parameters in pvedaemon.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .api import router
from .api.method import Call, Environment, Method
from .auth import ANYONE, Identity, check_privileges
from .daemon import HopTimeout
from .encoding import decode_form, encode_form, encode_json
from .errors import ApiError, Disconnect, HttpError, parameter_error
from .faults import FaultPlan, Rule
from .http1 import Request, Response
from .profiles import Profile
from .schema import verify
from .sabotage import Cut, spoil

UNAUTHORIZED_DELAY_S = 3.0
_JSON = "application/json;charset=UTF-8"
_STALLED_HOP_S = 5.0


@dataclass
class Settings:
    """What can be switched while the lab runs."""

    profile: Profile
    unauthorized_delay_s: float = UNAUTHORIZED_DELAY_S


@dataclass
class Outcome:
    """An answer, what the request turned out to be, and the fault that met it."""

    response: Response
    kind: str = "other"
    vmid: int | None = None
    fault: Rule | None = None


class Gateway:
    """Answers requests under ``/api2``."""

    def __init__(self, env: Environment, settings: Settings, faults: FaultPlan) -> None:
        self._env = env
        self.settings = settings
        self._faults = faults

    def authenticate(self, request: Request) -> Identity:
        """Who sent the request; raises the 401 answer. Needs only the headers."""
        _, form = _split(request.path)
        if not form:
            raise HttpError(501, "no such uri")
        found = router.find(request.method, _split(request.path)[0])
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
        if form not in ("json", "extjs"):
            raise HttpError(501, f"no formatter for uri {uri}, {form}")
        found = router.find(request.method, uri)
        if found is None:
            error = ApiError(501, f"Method '{request.method} {uri}' not implemented")
            return Outcome(_error_response(error, form, self.settings.profile))
        method, uri_params = found
        vmid = int(uri_params["vmid"]) if uri_params.get("vmid", "").isdigit() else None
        gauges = [g for g in (f"vm {vmid}" if vmid else "", f"node {uri_params.get('node', '')}") if g not in ("", "node ")]
        self._env.observer.enter(*gauges)
        fault = self._faults.strike(method.kind, vmid)
        outcome = Outcome(Response(200, "OK"), method.kind, vmid, fault)
        try:
            outcome.response = self._answer(request, identity, method, uri_params, form, fault)
        except Disconnect as cut:
            cut.args = (outcome,)
            raise
        finally:
            self._env.observer.leave(*gauges)
        return outcome

    def _answer(
        self, request: Request, identity: Identity, method: Method, uri_params: dict[str, str], form: str, fault: Rule | None
    ) -> Response:
        profile = self.settings.profile
        if fault is not None and (early := self._before(fault, method.kind, form, uri_params)):
            return early
        try:
            params = self._params(request, method, uri_params, profile)
            if "authorization" in request.headers and not method.allow_token and "PVEAPIToken" in request.headers["authorization"]:
                raise ApiError(403, f"Permission check failed (URI '{method.path}' not available with API token, need proper ticket.\n)")
            if needed := method.needed(profile):
                check_privileges(identity, f"/vms/{params['vmid']}", needed)
            node = self._env.cluster.resolve_node(params["node"]) if "node" in params else self._env.cluster.local_node

            def work() -> Any:
                verified = verify(params, method.params(profile))
                return method.handler(Call(self._env, profile, identity, node, verified))

            hop = method.protected or node != self._env.cluster.local_node
            response = self._deliver(work, node if hop else None, fault, form, profile)
        except ApiError as error:
            response = _error_response(error, form, profile)
        except HttpError as error:
            response = self._http_error(error, form)
        except HopTimeout:
            response = Response(596, "Connection timed out")
        response = self._over_status_line(response)
        if request.accepts_gzip() and len(response.body) > 1024:
            response = _gzipped(response)
        return response if fault is None else self._after(fault, response, method.kind, form, uri_params)

    def _deliver(
        self, work: Callable[[], Any], node: str | None, fault: Rule | None, form: str, profile: Profile
    ) -> Response:
        """Have the work done, in a worker of ``node`` if given, and format its answer there."""

        def answer() -> Response:
            try:
                return _success_response(work(), form)
            except ApiError as error:
                return _error_response(error, form, profile)

        def once() -> Response:
            return answer() if node is None else replace(self._env.cluster.daemons[node].call(answer), inner=True)

        response = once()
        if fault is not None and fault.action == "twice":
            second = once()
            return second if fault.answer == "second" else response
        return response

    def _params(
        self, request: Request, method: Method, uri_params: dict[str, str], profile: Profile
    ) -> dict[str, Any]:
        """All parameters, as they look after the hop to pvedaemon."""
        sent: dict[str, Any] = {}
        if request.method in ("POST", "PUT") and request.body:
            if request.content_type() == "application/json" and profile.json_bodies:
                sent = _decode_json(request.body)
            else:
                sent = decode_form(request.body.decode("latin-1"), not profile.command_is_array)
                if method.protected:
                    sent = self._reencoded(sent, profile)
        sent |= decode_form(request.query, not profile.command_is_array)
        sent.pop("_dc", None)
        for name, value in uri_params.items():
            if name in sent and str(sent[name]) != value:
                text = "duplicate parameter (already defined in URI) with conflicting values!"
                raise parameter_error({name: text})
        return {**sent, **uri_params}

    def _reencoded(self, params: dict[str, Any], profile: Profile) -> dict[str, Any]:
        """A form is written anew for pvedaemon, which may make it too large for that one."""
        form = encode_form(params)
        if len(form) > profile.max_body_bytes:
            raise HttpError(501, "for data too large")
        return decode_form(form, not profile.command_is_array)

    def _http_error(self, error: HttpError, form: str) -> Response:
        delay = self.settings.unauthorized_delay_s if error.status == 401 else error.delay_s
        if form == "extjs" and error.status == 401:
            body = {"data": None, "success": 0, "status": 401, "message": error.reason + "\n"}
            return Response(200, "OK", encode_json(body), _JSON, inner=True, delay_s=delay)
        body_bytes = error.reason.encode() if error.body is None else error.body
        return Response(error.status, error.reason, body_bytes, inner=True, delay_s=delay)

    def _over_status_line(self, response: Response) -> Response:
        """A status text with characters that have no byte breaks pvedaemon: its answer never comes."""
        if not response.inner or all(ord(c) < 256 for c in response.reason):
            return response
        return Response(596, "Broken pipe", delay_s=_STALLED_HOP_S)

    def _before(self, fault: Rule, kind: str, form: str, uri_params: dict[str, str]) -> Response | None:
        """What a fault does before the node acts; None lets the call go on."""
        time.sleep(fault.delay_s)
        profile = self.settings.profile
        match fault.action:
            case "cut-before":
                raise Cut
            case "status-before":
                return Response(fault.status, fault.reason)
            case "not-running":
                return _error_response(ApiError(500, "QEMU guest agent is not running\n"), form, profile)
            case "timeout-before":
                return _error_response(_got_timeout(kind, uri_params), form, profile)
        return None

    def _after(self, fault: Rule, response: Response, kind: str, form: str, uri_params: dict[str, str]) -> Response:
        """What a fault makes of the answer to a call that was carried out."""
        match fault.action:
            case "cut-after":
                raise Cut
            case "status-after":
                return Response(fault.status, fault.reason)
            case "timeout-after":
                return _error_response(_got_timeout(kind, uri_params), form, self.settings.profile)
            case "cut-mid" | "garbage":
                return spoil(response, fault)
        return response


def _split(path: str) -> tuple[str, str]:
    """The URI below the form's name, and that name (``json``, ``extjs``); an empty name for no such URI."""
    rest = path.removeprefix("/api2").lstrip("/")
    form, slash, uri = rest.partition("/")
    return slash + uri or "/", form if form.isalnum() and form[0].isalpha() else ""


def _decode_json(body: bytes) -> dict[str, Any]:
    try:
        params = json.loads(body.decode("utf-8"))
        json.dumps(params, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError:
        raise HttpError(500, "malformed UTF-8 character in JSON string, at character offset 0") from None
    except UnicodeEncodeError:
        raise HttpError(500, "missing low surrogate character in surrogate pair") from None
    except ValueError as error:
        raise HttpError(500, f"malformed JSON string, at character offset {getattr(error, 'pos', 0)}") from None
    if not isinstance(params, dict):
        raise HttpError(500, "Not a HASH reference")
    return params


def _got_timeout(kind: str, uri_params: dict[str, str]) -> ApiError:
    return ApiError(500, f"VM {uri_params.get('vmid', '?')} qga command 'guest-{kind}' failed - got timeout\n")


def _gzipped(response: Response) -> Response:
    import gzip

    return replace(response, body=gzip.compress(response.body, 6), headers={"Content-Encoding": "gzip"})


def _success_response(data: Any, form: str) -> Response:
    body = {"data": data, "success": 1} if form == "extjs" else {"data": data}
    return Response(200, "OK", encode_json(body), _JSON)


def _error_response(error: ApiError, form: str, profile: Profile) -> Response:
    """An error in the form asked for: a status and its text, or always 200 with the status in the body."""
    body: dict[str, Any] = {"data": None}
    if error.errors:
        body["errors"] = error.errors
    if form == "extjs":
        body |= {"success": 0, "status": error.status, "message": error.message}
        return Response(200, "OK", encode_json(body), _JSON)
    if profile.message_in_body:
        body["message"] = error.message
    return Response(error.status, error.message.split("\n", 1)[0], encode_json(body), _JSON)
