"""A small S3 that does what Amazon's documentation says where moto does not.

It is strict about what an archive leans on: signatures, checksums, conditions, versions, and locks that
nobody can lift. Buckets live in one file, so that it can be killed and started again. `PUT /-` sets faults,
`Faults` says which.

    python strict_s3.py STATE_FILE PORT
"""

import base64
import hashlib
import hmac
import json
import os
import pickle
import sys
import threading
import time
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@dataclass
class Version:
    id: str
    body: bytes | None  # None is a delete marker
    sha256: str | None = None
    mode: str | None = None
    until: str | None = None
    stored: float = field(default_factory=time.time)

    def is_locked(self) -> bool:
        return self.until is not None and moment(self.until) > datetime.now(timezone.utc)


@dataclass
class Bucket:
    region: str
    has_lock: bool
    versioning: str
    default: tuple[str, int] | None = None
    keys: dict[str, list[Version]] = field(default_factory=dict)  # newest last


@dataclass
class Faults:
    seconds_ahead: int = 0  # the server's clock
    put_delay: float = 0.0
    lock_as: str | None = None  # swallow the lock that was asked for, and set this one; "" for none
    lose_answer: int = 0  # so many puts are stored and never answered
    busy: int = 0  # so many puts are asked to come back
    page: int = 1000  # versions on a page of a list


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str = "no") -> None:
        self.status, self.code, self.message = status, code, message


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    buckets: dict[str, Bucket]
    faults = Faults()
    state: Path
    lock = threading.Lock()

    def log_message(self, *_): ...

    def date_time_string(self, timestamp=None):
        return super().date_time_string((timestamp or time.time()) + self.faults.seconds_ahead)

    def handle_any(self):
        url = urlsplit(self.path)
        self.query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        name, _, key = unquote(url.path).lstrip("/").partition("/")
        try:
            if name == "-":
                Handler.faults = Faults(**json.loads(self.body))
                return self.answer(200)
            if self.command == "PUT" and key:
                time.sleep(self.faults.put_delay)
                if self.faults.busy:
                    self.faults.busy -= 1
                    raise Refusal(503, "SlowDown", "please reduce your request rate")
            with self.lock:
                self.check_signature(url, name)
                answered = self.dispatch(name, key)
                if self.command in ("PUT", "DELETE"):
                    fresh = self.state.with_suffix(".new")
                    fresh.write_bytes(pickle.dumps(self.buckets))
                    fresh.replace(self.state)
            if self.faults.lose_answer and self.command == "PUT" and key:
                self.faults.lose_answer -= 1
                self.close_connection = True
                return None
            return self.answer(*answered)
        except Refusal as no:
            text = f"<Error><Code>{no.code}</Code><Message>{escape(no.message)}</Message></Error>"
            return self.answer(no.status, {}, b"" if self.command == "HEAD" else text.encode())

    do_GET = do_PUT = do_HEAD = do_DELETE = handle_any

    def answer(self, status: int, headers: dict | None = None, body: bytes = b""):
        self.send_response(status)
        headers = {"content-length": len(body), **(headers or {})}
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def check_signature(self, url, name: str):
        """Signature version 4 over the request as it came."""
        kind, _, rest = (self.headers.get("authorization") or "").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        if kind != "AWS4-HMAC-SHA256" or not parts.keys() >= {"Credential", "SignedHeaders", "Signature"}:
            raise Refusal(403, "AccessDenied", "the request is not signed")
        key, day, region, service, _ = parts["Credential"].split("/")
        if key != KEY:
            raise Refusal(403, "InvalidAccessKeyId", "no such access key")
        signed = parts["SignedHeaders"].split(";")
        sent = {header.lower() for header in self.headers if header.lower().startswith("x-amz-")}
        if not {"host", "x-amz-content-sha256", "x-amz-date"} | sent <= set(signed):
            raise Refusal(403, "AccessDenied", "there were headers which were not signed")
        claimed = self.headers["x-amz-content-sha256"]
        if claimed != hashlib.sha256(self.body).hexdigest():
            raise Refusal(400, "XAmzContentSHA256Mismatch", "the body is not the one that was signed")
        pairs = parse_qsl(url.query, keep_blank_values=True)
        query = "&".join(sorted(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in pairs))
        headers = "".join(f"{name}:{' '.join(self.headers[name].split())}\n" for name in signed)
        request = "\n".join([self.command, url.path, query, headers, ";".join(signed), claimed])
        scope = f"{day}/{region}/{service}/aws4_request"
        stamp = self.headers["x-amz-date"]
        text = "\n".join([kind, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
        secret = f"AWS4{SECRET}".encode()
        for step in (day, region, service, "aws4_request", text):
            secret = hmac.new(secret, step.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(secret.hex(), parts["Signature"]):
            raise Refusal(403, "SignatureDoesNotMatch", "the signature is not that of this request")
        home = self.buckets[name].region if name in self.buckets else region
        if region != home:
            why = f"the region '{region}' is wrong; expecting '{home}'"
            raise Refusal(400, "AuthorizationHeaderMalformed", why)

    def dispatch(self, name: str, key: str):
        if self.command == "PUT" and not key and not self.query.keys() & {"versioning", "object-lock"}:
            constraint = (
                ElementTree.fromstring(self.body).findtext("{*}LocationConstraint") if self.body else None
            )
            has_lock = self.headers.get("x-amz-bucket-object-lock-enabled") == "true"
            self.buckets[name] = Bucket(constraint or "us-east-1", has_lock, "Enabled" if has_lock else "")
            return (200,)
        bucket = self.buckets.get(name)
        if bucket is None:
            raise Refusal(404, "NoSuchBucket", "the specified bucket does not exist")
        if "versioning" in self.query:
            return self.versioning(bucket)
        if "object-lock" in self.query:
            return self.lock_configuration(bucket)
        if "versions" in self.query:
            return self.list_versions(bucket)
        if self.command == "PUT":
            return self.retain(bucket, key) if "retention" in self.query else self.put(bucket, key)
        if self.command == "DELETE":
            return self.delete(bucket, key)
        return self.get(bucket, key)

    def versioning(self, bucket: Bucket):
        if self.command == "PUT":
            status = ElementTree.fromstring(self.body).findtext("{*}Status")
            if bucket.has_lock and status != "Enabled":
                raise Refusal(
                    409, "InvalidBucketState", "Object Lock is on, so versioning cannot be suspended"
                )
            bucket.versioning = status
            return (200,)
        status = f"<Status>{bucket.versioning}</Status>" if bucket.versioning else ""
        return 200, {}, f"<VersioningConfiguration>{status}</VersioningConfiguration>".encode()

    def lock_configuration(self, bucket: Bucket):
        if self.command == "PUT":
            root = ElementTree.fromstring(self.body)
            days = root.findtext(".//{*}Days")
            bucket.default = (root.findtext(".//{*}Mode"), int(days)) if days else None
            return (200,)
        if not bucket.has_lock:
            raise Refusal(404, "ObjectLockConfigurationNotFoundError", "there is no configuration")
        lock = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
        return 200, {}, f"<ObjectLockConfiguration>{lock}</ObjectLockConfiguration>".encode()

    def check_sums(self, required: bool) -> str:
        """Holds every checksum that was sent against the body; a lock takes none without its kind."""
        header = self.headers.get
        sha256 = base64.b64encode(hashlib.sha256(self.body).digest()).decode()
        sums = {
            "content-md5": base64.b64encode(hashlib.md5(self.body).digest()).decode(),
            "x-amz-checksum-sha256": sha256,
            "x-amz-checksum-crc32": base64.b64encode(zlib.crc32(self.body).to_bytes(4, "big")).decode(),
        }
        for name, real in sums.items():
            if header(name) not in (None, real):
                raise Refusal(400, "BadDigest", f"{name} is not that of the body")
        kind = (header("x-amz-sdk-checksum-algorithm") or "").lower()
        if required and not header("content-md5") and not header(f"x-amz-checksum-{kind}"):
            raise Refusal(400, "InvalidRequest", "a lock needs Content-MD5 or a named checksum")
        return sha256

    def put(self, bucket: Bucket, key: str):
        header = self.headers.get
        mode, until = header("x-amz-object-lock-mode"), header("x-amz-object-lock-retain-until-date")
        sha256 = self.check_sums(required=bool(mode or until))
        if mode or until:
            if not bucket.has_lock:
                raise Refusal(400, "InvalidRequest", "Bucket is missing Object Lock Configuration")
            check_lock(mode, until)
        versions = bucket.keys.setdefault(key, [])
        condition = header("if-none-match")
        if condition not in (None, "*"):
            raise Refusal(501, "NotImplemented", "If-None-Match takes nothing but *")
        if condition and versions and versions[-1].body is not None:
            raise Refusal(412, "PreconditionFailed", "there is an object already")
        if bucket.default and not mode:
            end = datetime.fromtimestamp(time.time() + bucket.default[1] * 86400, timezone.utc)
            mode, until = bucket.default[0], end.isoformat()
        if self.faults.lock_as is not None:
            mode, until = (self.faults.lock_as, until) if self.faults.lock_as else (None, None)
        kept = sha256 if header("x-amz-checksum-sha256") else None
        version = Version(os.urandom(12).hex(), self.body, kept, mode, until)
        if bucket.versioning != "Enabled":
            versions.clear()
        versions.append(version)
        return 200, {"x-amz-version-id": version.id if bucket.versioning == "Enabled" else None}

    def retain(self, bucket: Bucket, key: str):
        version = self.find(bucket, key)
        self.check_sums(required=True)
        root = ElementTree.fromstring(self.body)
        mode, until = root.findtext("{*}Mode"), root.findtext("{*}RetainUntilDate")
        check_lock(mode, until)
        bypass = self.headers.get("x-amz-bypass-governance-retention") == "true"
        held = version.is_locked() and not (version.mode == "GOVERNANCE" and bypass)
        if held and (mode != version.mode or moment(until) < moment(version.until)):
            raise Refusal(403, "AccessDenied", "the object is protected by its retention")
        version.mode, version.until = mode, until
        return (200,)

    def delete(self, bucket: Bucket, key: str):
        if "versionId" not in self.query:
            marker = Version(os.urandom(12).hex(), None)
            bucket.keys.setdefault(key, []).append(marker)
            return 204, {"x-amz-delete-marker": "true", "x-amz-version-id": marker.id}
        version = self.find(bucket, key)
        bypass = self.headers.get("x-amz-bypass-governance-retention") == "true"
        if version.is_locked() and not (version.mode == "GOVERNANCE" and bypass):
            raise Refusal(403, "AccessDenied", "the object is protected by its retention")
        bucket.keys[key].remove(version)
        return 204, {"x-amz-version-id": version.id}

    def get(self, bucket: Bucket, key: str):
        version = self.find(bucket, key)
        if "retention" in self.query:
            if not version.mode:
                raise Refusal(404, "NoSuchObjectLockConfiguration", "there is no retention")
            text = f"<Mode>{version.mode}</Mode><RetainUntilDate>{version.until}</RetainUntilDate>"
            return 200, {}, f"<Retention>{text}</Retention>".encode()
        if version.body is None:
            named = "versionId" in self.query
            raise Refusal(
                405 if named else 404, "MethodNotAllowed" if named else "NoSuchKey", "a delete marker"
            )
        wants = self.headers.get("x-amz-checksum-mode") == "ENABLED"
        headers = {
            "x-amz-version-id": version.id,
            "x-amz-object-lock-mode": version.mode,
            "x-amz-object-lock-retain-until-date": version.until,
            "x-amz-checksum-sha256": version.sha256 if wants else None,
            "content-length": len(version.body),
            "last-modified": formatdate(version.stored, usegmt=True),
        }
        return 200, headers, version.body

    def find(self, bucket: Bucket, key: str) -> Version:
        versions = bucket.keys.get(key) or []
        wanted = self.query.get("versionId")
        if wanted is None and versions:
            return versions[-1]
        for version in versions:
            if version.id == wanted:
                return version
        raise Refusal(404, "NoSuchVersion" if wanted else "NoSuchKey", "there is none")

    def list_versions(self, bucket: Bucket):
        """In order of keys, newest version first; pages after (key-marker, version-id-marker)."""
        rows = [
            (key, version, version is versions[-1])
            for key, versions in sorted(bucket.keys.items())
            for version in reversed(versions)
            if key.startswith(self.query.get("prefix", ""))
        ]
        after = (self.query.get("key-marker"), self.query.get("version-id-marker"))
        places = [(key, version.id) for key, version, _ in rows]
        rows = rows[places.index(after) + 1 :] if after in places else rows
        page = rows[: self.faults.page]
        text = f"<IsTruncated>{str(len(page) < len(rows)).lower()}</IsTruncated>"
        if len(page) < len(rows):
            key, version, _ = page[-1]
            text += (
                f"<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>{version.id}</NextVersionIdMarker>"
            )
        for key, version, is_latest in page:
            kind = "Version" if version.body is not None else "DeleteMarker"
            text += f"<{kind}><Key>{key}</Key><VersionId>{version.id}</VersionId>"
            text += f"<IsLatest>{str(is_latest).lower()}</IsLatest></{kind}>"
        return 200, {}, f"<ListVersionsResult>{text}</ListVersionsResult>".encode()


def check_lock(mode: str | None, until: str | None):
    if mode not in ("COMPLIANCE", "GOVERNANCE") or not until:
        raise Refusal(400, "InvalidArgument", "a lock is a mode and a date")
    if moment(until) <= datetime.now(timezone.utc):
        raise Refusal(400, "InvalidArgument", "The retain until date must be in the future!")


def main(state: str, port: str):
    Handler.state = Path(state)
    Handler.buckets = pickle.loads(Handler.state.read_bytes()) if Handler.state.exists() else {}
    ThreadingHTTPServer.request_queue_size = 64
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    sys.modules["strict_s3"] = sys.modules["__main__"]  # what is stored names its types
    for kind in (Version, Bucket):
        kind.__module__ = "strict_s3"
    main(*sys.argv[1:])
