#!/usr/bin/env python3
"""Logs shipped to an S3 server, as its users see it. Used by tools/s3-tests: ship.py SERVER BINARIES

SERVER is versitygw, which keeps the objects of a bucket as files, so that the copy in it can be verified where it lies;
BINARIES holds `privet` and `privet-audit`. Prints a line for each promise that held; ends with 1 at the first that did not.
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SERVER, BINARIES = sys.argv[1], pathlib.Path(sys.argv[2])
POLICY = pathlib.Path(__file__).parents[2] / "policy-lib/tests/data/design.yaml"
EVENT = {"type": "track", "event": "Search Performed", "messageId": "m-1", "userId": "u-1",
         "properties": {"query": "q", "results": 1, "section": "apps"},
         "context": {"consent": {"categoryPreferences": {"Analytics": True}}}}
# What a path has to be encoded for.
ORIGIN = "privet.example.org/prod~eu/clicks@1:a=b"
# Objects that a listing has to be asked for again for: a page holds a thousand.
STRANGERS = 1100


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Process:
    """A child that does not outlive this script."""
    started = []

    def __init__(self, *arguments, cwd):
        self.said = pathlib.Path(cwd) / f"said-{len(Process.started)}"
        self.child = subprocess.Popen([str(argument) for argument in arguments], cwd=cwd, stdin=subprocess.DEVNULL,
                                      stdout=self.said.open("wb"), stderr=subprocess.STDOUT)
        Process.started.append(self)

    def end(self):
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(30)


class Room:
    """A directory with a bucket, and the server that serves it."""

    def __init__(self, path):
        self.path, self.port, self.server = path, free_port(), None
        self.bucket = path / "root" / "privet-logs"
        self.bucket.mkdir(parents=True)

    def serve(self):
        self.server = Process(SERVER, "--port", f"127.0.0.1:{self.port}", "--access", "AKTEST", "--secret", "rightsecret",
                              "--region", "eu-central-1", "posix", self.path / "root", cwd=self.path)
        until("the server listens", lambda: connects(self.port))

    def store(self):
        return {"s3": {"endpoint": f"http://127.0.0.1:{self.port}", "region": "eu-central-1", "bucket": "privet-logs",
                       "prefix": "prod/eu-1", "access_key_file": "access", "secret_key_file": "secret"}}

    def copy(self, origin=ORIGIN):
        return self.bucket / "prod/eu-1" / origin


class Pod:
    """A sidecar and its directory."""

    def __init__(self, room, name, origin=ORIGIN, **ship):
        self.path = room.path / name
        self.events, self.admin, self.metrics, collector = (free_port() for _ in range(4))
        (self.path / "policies").mkdir(parents=True)
        (self.path / "keyring").mkdir()
        policy = POLICY.read_text().replace("http://127.0.0.1:8081", f"http://127.0.0.1:{collector}")
        (self.path / "policies/policy.yaml").write_text(policy)
        (self.path / "keyring/test.key").write_text("A" * 43 + "=\n")
        write_keys(self.path)
        self.config({"directory": "log", "anchor_dir": "anchor", "origin": origin,
                     "ship": {**room.store(), "every_secs": 1, **ship}})

    def config(self, log):
        address = lambda port: {"address": f"127.0.0.1:{port}"}
        # JSON is YAML.
        (self.path / "privet.yaml").write_text(json.dumps({
            "apiVersion": "privet.dev/v1alpha1", "kind": "Config", "policies": "policies", "keyring": "keyring", "log": log,
            "listeners": [{"name": "events", "formats": ["segment"], **address(self.events)}],
            "admin": address(self.admin), "metrics": address(self.metrics),
            "drain": {"delay_secs": 0, "grace_secs": 5}}))

    def run(self):
        self.process = Process(BINARIES / "privet", "run", "--config", "privet.yaml", cwd=self.path)
        until("the sidecar listens", lambda: connects(self.events))

    def post(self, events):
        for _ in range(events):
            asked = http.client.HTTPConnection("127.0.0.1", self.events, timeout=20)
            asked.request("POST", "/v1/batch", json.dumps({"batch": [EVENT]}), {"content-type": "application/json"})
            asked.getresponse().read()
            asked.close()

    def note(self):
        asked = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=20)
        asked.request("GET", "/readyz")
        return json.loads(asked.getresponse().read())["notes"].get("ship", "")


def write_keys(path, secret="rightsecret"):
    (path / "access").write_text("AKTEST\n")
    (path / "secret").write_text(secret + "\n")


def connects(port):
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def until(what, so, secs=60):
    begun = time.monotonic()
    while not so():
        if time.monotonic() - begun > secs:
            said = "\n".join(f"{one.said.name}: {one.said.read_text(errors='replace')[-1500:]}" for one in Process.started)
            sys.exit(f"NOT so within {secs} s: {what}\n{said}")
        time.sleep(0.05)


def holds(what, so):
    if not so:
        sys.exit(f"NOT so: {what}")
    print(f"ok: {what}", flush=True)


def verified(log, anchor, *more):
    done = subprocess.run([BINARIES / "privet-audit", "verify", log, "--key", anchor / "vkey",
                           "--anchor", anchor / "checkpoint", "--json", *more], capture_output=True, text=True)
    said = json.loads(done.stdout) if done.stdout else {}
    return done.returncode == 0, said, done.stdout + done.stderr


def objects(directory):
    return {file.relative_to(directory): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def shipped_whole(room):
    pod = Pod(room, "pod", ledger=True)
    pod.run()
    pod.post(30)
    until("the log is shipped", lambda: (room.copy() / "1/checkpoint").exists())
    holds("a drain ends well", pod.process.end() == 0)
    clean, said, text = verified(room.copy(), pod.path / "anchor")
    holds(f"the copy in the store verifies by the pod's anchor{'' if clean else ': ' + text}", clean)
    holds("to its last record", said["incarnations"][0]["end"] == "closed" and said["totals"]["requests"] == 30)
    return pod


def rotated_keys(room, pod):
    write_keys(pod.path, "wrongsecret")
    pod.run()
    until("a wrong key is told", lambda: "403" in pod.note())
    holds("a wrong key ships nothing, and /readyz says 403", not (room.copy() / "2").exists())
    pod.post(5)
    write_keys(pod.path)
    until("the key is read again", lambda: (room.copy() / "2/checkpoint").exists() and not pod.note())
    holds("a key that is put right is used without a restart", True)


def server_away(room, pod):
    room.server.end()
    pod.post(5)
    until("the server's absence is told", lambda: "answer" in pod.note())
    room.serve()
    until("it is shipped afterwards", lambda: not pod.note(), 120)
    holds("a drain after the server was away ends well", pod.process.end() == 0)
    clean, said, text = verified(room.copy(), pod.path / "anchor")
    holds(f"what the server missed was shipped when it was back{'' if clean else ': ' + text}",
          clean and said["totals"]["requests"] == 40)


def other_log(room):
    before = objects(room.copy())
    other = Pod(room, "other")
    other.run()
    until("the conflict is told", lambda: "holds another log" in other.note())
    other.process.end()
    after = objects(room.copy())
    changed = sorted(str(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    holds(f"another log of the same name is told, and changes nothing{changed or ''}", not changed)


def sealed(room):
    key = room.path / "auditor.key"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
    origin = "privet.example.org/sealed"
    pod = Pod(room, "sealed", origin, seal_to=[recipient])
    pod.run()
    pod.post(3)
    holds("a drain of a sealed log ends well", pod.process.end() == 0)
    readable = [name for name, body in objects(room.copy(origin)).items() if b"heartbeat" in body or b"refusals" in body]
    holds(f"no entry of a sealed log can be read in the store{readable or ''}", not readable)
    opened = room.path / "opened"
    opener = pathlib.Path(__file__).parents[2] / "tools/open-sealed"
    subprocess.run([opener, key, room.copy(origin), opened], check=True)
    clean, said, text = verified(opened, pod.path / "anchor")
    holds(f"opened by age, it verifies{'' if clean else ': ' + text}", clean and said["totals"]["requests"] == 3)


def rolled(room, pod):
    heads = room.bucket / "prod/eu-1/heads"
    for number in range(STRANGERS):
        (heads / f"{number:064x}").write_text("no checkpoint\n")
    path = room.path / "ledger"
    path.mkdir()
    write_keys(path)
    (path / "ledger.yaml").write_text(json.dumps({
        "apiVersion": "privet.dev/v1alpha1", "kind": "Ledger", "store": room.store(), "key_file": "ledger.key",
        "log": {"directory": "log", "anchor_dir": "anchor", "origin": "privet.example.org/ledger"},
        "listen": f"127.0.0.1:{free_port()}", "every_secs": 1}))
    made = subprocess.run([BINARIES / "privet", "ledger", "init", "--config", "ledger.yaml"], cwd=path, check=True,
                          capture_output=True, text=True)
    key = made.stdout.strip()
    rolling = Process(BINARIES / "privet", "ledger", "run", "--config", "ledger.yaml", cwd=path)
    until("the ledger rolls", lambda: len(list(path.glob("log/1/list/*"))) > 0, 120)
    time.sleep(2)
    holds("a ledger ends well", rolling.end() == 0)
    (path / "trust").write_text(f"log {key}\nquorum none\n")
    clean, _, text = verified(room.copy(), pod.path / "anchor", "--ledger", path / "log", "--policy", path / "trust")
    holds(f"beside {STRANGERS} strangers, over pages, it rolled the pod's log{'' if clean else ': ' + text}", clean)


def main():
    path = pathlib.Path(tempfile.mkdtemp(prefix="privet-s3-"))
    try:
        room = Room(path)
        room.serve()
        pod = shipped_whole(room)
        rotated_keys(room, pod)
        server_away(room, pod)
        other_log(room)
        sealed(room)
        rolled(room, pod)
    finally:
        for process in Process.started:
            if process.child.poll() is None:
                process.child.kill()
                process.child.wait()
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
