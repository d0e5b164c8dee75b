"""What other users of the machine can see of a platform that is up, and that no secret is written where it does not belong."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID
from e2e_support import Place, outcome, run

NOBODY = 65534

# As docs/security.md says: what answers other users of the machine on loopback, and how. 0: no answer without a certificate.
ASKED = """
import json, ssl, sys, urllib.error, urllib.request
asked = json.load(sys.stdin)
quiet = ssl.create_default_context(); quiet.check_hostname = False; quiet.verify_mode = ssl.CERT_NONE
told = {}
for url in asked:
    try:
        told[url] = urllib.request.urlopen(url, timeout=20, context=quiet if url.startswith("https") else None).status
    except urllib.error.HTTPError as error:
        told[url] = error.code
    except OSError:
        told[url] = 0
print(json.dumps(told))
"""


def state(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.run_dir / "state.json").read_text())
    return found


def test_no_socket_of_any_kind_is_open_beyond_loopback(platform: Place) -> None:
    owner = state(platform)["pid"]
    family = {owner, *(child.pid for child in psutil.Process(owner).children(recursive=True))}
    mine = [each for each in psutil.net_connections("inet") if each.pid in family]
    accepting = [
        each for each in mine if each.status == psutil.CONN_LISTEN or (each.type == socket.SOCK_DGRAM and not each.raddr)
    ]
    assert len(accepting) > 8
    assert {each.laddr.ip.split(".")[0] for each in accepting} == {"127"}
    # And each is one that the plan names, or a pod's: what a program opens beside them is open to every user of the machine.
    planned = set(state(platform)["ports"].values())
    beside = [each for each in accepting if each.laddr.ip == "127.0.0.1" and each.laddr.port not in planned]
    assert [(each.laddr.port, psutil.Process(each.pid).name()) for each in beside] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user of the machine takes root")
def test_what_another_user_of_the_machine_gets(platform: Place) -> None:
    port = state(platform)["ports"]
    api, etcd, istiod = (f"https://127.0.0.1:{port['apiserver']}", f"https://127.0.0.1:{port['etcd']}",
                         f"http://127.0.0.1:{port['istiod_http']}")  # fmt: skip
    expected = {
        f"{api}/": 401, f"{api}/healthz": 401, f"{api}/livez": 401, f"{api}/readyz": 401, f"{api}/version": 401,
        f"{api}/api/v1/namespaces/webapp/secrets": 401, f"{api}/apis/argoproj.io/v1alpha1/rollouts": 401,
        f"{etcd}/version": 0, f"{etcd}/health": 0, f"https://127.0.0.1:{port['etcd_peer']}/version": 0,
        # Open to whoever is on this machine, and said so.
        f"http://127.0.0.1:{port['registry']}/v2/": 200, f"http://127.0.0.1:{port['prometheus']}/api/v1/query?query=up": 200,
        f"http://127.0.0.1:{port['envoy_admin']}/stats": 200, f"{istiod}/ready": 200,
        f"{istiod}/debug/configz": 404,
        # Reading is all: what would change or end it is closed.
        f"http://127.0.0.1:{port['envoy_admin']}/quitquitquit": 403,
        f"http://127.0.0.1:{port['envoy_admin']}/config_dump": 403,
    }  # fmt: skip
    done = subprocess.run(
        ["/usr/bin/python3", "-c", ASKED], input=json.dumps(list(expected)), user=NOBODY, group=NOBODY, extra_groups=[], cwd="/",
        capture_output=True, text=True, timeout=120, check=True, env={},
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert {url: code for url, code in told.items() if code != expected[url]} == {}


def secrets_of(place: Place) -> list[bytes]:
    """The middle of every private key of a run, in whichever form it may be written down."""
    found = []
    for path in place.run_dir.glob("pki/*"):
        if path.suffix == ".key":
            body = "".join(line for line in path.read_text().splitlines() if "-----" not in line)
            found.append(body[20:60].encode())
            found.append(base64.b64encode(path.read_bytes())[40:100])
    users = (
        yaml.safe_load(path.read_text())["users"][0]["user"]
        for path in (place.run_dir / "kubeconfig", *place.run_dir.glob("pki/*.kubeconfig"))
    )
    return found + [user["client-key-data"][40:100].encode() for user in users]


def test_no_secret_is_in_any_log_report_or_answer(platform: Place, tmp_path: Path) -> None:
    report_dir = tmp_path / "report"
    ended = run("failure", "--error-rate", "20", "--window", "8", "--rps", "100", "--output", "json",
                "--report-dir", str(report_dir), "--set", "podLabels.password=hunter2", place=platform)  # fmt: skip
    assert ended.code == 0, outcome(ended)
    told = [run(command, *more, place=platform) for command, *more in (("status", "--output", "json"), ("status",), ("plan",))]
    secrets = secrets_of(platform)
    assert len(secrets) > 20
    texts = {f"output {number}": (each.out + each.err).encode() for number, each in enumerate([ended, *told])}
    places = [platform.run_dir / "logs", platform.run_dir / "config", platform.run_dir / "reports", report_dir,
              platform.run_dir / "data" / "node"]  # fmt: skip
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    files += [platform.run_dir / "owner.log", platform.run_dir / "state.json"]
    assert len(files) > 30
    texts |= {str(path): path.read_bytes() for path in files}
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []
    # What the user gave by --set is in the objects that were made of it, and in nothing that is told.
    assert [name for name, text in texts.items() if b"hunter2" in text and "/data/node/" not in name] == []
    # Nor any token or key that we do not know: in the forms in which they are usually written.
    pattern = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.")
    assert [name for name, text in texts.items() if pattern.search(text)] == []


def test_no_kubeconfig_of_a_platform_speaks_for_system_masters(platform: Place) -> None:
    groups = {}
    for path in (platform.run_dir / "kubeconfig", *platform.run_dir.glob("pki/*.kubeconfig")):
        user = yaml.safe_load(path.read_text())["users"][0]["user"]
        subject = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"])).subject
        groups[path.name] = [each.value for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    assert len(groups) > 6
    assert {value for its in groups.values() for value in its} == {"gateproof:admins"}
