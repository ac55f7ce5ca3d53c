"""The chart, as it would be installed: rendered by Helm's own engine, checked against Kubernetes' own schemas.

No cluster is asked. What a cluster alone can show (scheduling, the order in which containers end) is not shown here.
Run with `make helm`.
"""

import copy
import math
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import helm_python
import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).parent
AUDITOR = "privet-auditor+odalys+AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
CHART = HERE.parent / "privet"
VALUES = sorted((HERE / "values").glob("*.yaml"))
# From the first release in which the chart works to the newest whose schemas we have.
KUBERNETES = [f"1.{minor}.0" for minor in range(30, 38)]
# Custom resources, whose schemas are not Kubernetes' own.
CUSTOM = {"ServiceMonitor"}


def values(name):
    return yaml.safe_load((HERE / "values" / f"{name}.yaml").read_text())


def changed(path, value, base="least"):
    """The values of `base` with one of them, named by its dotted path, set to `value`."""
    result = copy.deepcopy(values(base))
    *parents, last = path.split(".")
    place = result
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return result


def render(with_values):
    """Every file of the chart, as `helm install shop --namespace prod` would render it."""
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(with_values)
        return chart.render(with_values, name="shop", namespace="prod")


def manifests(with_values):
    files = render(with_values)
    return [
        document
        for name, text in sorted(files.items())
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]


def one(kind, objects):
    found = [item for item in objects if item["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of kind {kind}"
    return found[0]


def pod(objects):
    return one("Deployment", objects)["spec"]["template"]["spec"]


def config(objects):
    held = [item for item in objects if item["kind"] == "ConfigMap" and "privet.yaml" in item["data"]]
    return yaml.safe_load(held[0]["data"]["privet.yaml"])


def for_every_values_file(test):
    """Runs `test` once for each values file, naming the file when it fails."""

    def run(self):
        for file in VALUES:
            with self.subTest(values=file.name):
                test(self, yaml.safe_load(file.read_text()))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class EveryValuesFile(unittest.TestCase):
    """What holds whatever the values are."""

    def test_there_are_values_to_check(self):
        self.assertGreaterEqual(len(VALUES), 4)

    @for_every_values_file
    def test_renders_the_same_bytes_twice(self, given):
        self.assertEqual(render(given), render(given))

    @for_every_values_file
    def test_lints_without_a_warning(self, given):
        report = helm_python.lint(str(CHART), given, strict=True, namespace="prod")
        loud = [message for message in report["messages"] if message["severity"] > 1]
        self.assertEqual((report["errors"], loud), ([], []))

    @for_every_values_file
    def test_every_object_fits_the_strict_schema_of_every_release(self, given):
        standard = [item for item in manifests(given) if item["kind"] not in CUSTOM]
        self.assertGreaterEqual(len(standard), 6)
        for item in standard:
            for release in KUBERNETES:
                kubernetes_validate.validate(item, release, strict=True)

    @for_every_values_file
    def test_every_object_is_in_the_namespace_and_carries_the_release(self, given):
        for item in manifests(given):
            self.assertEqual(item["metadata"]["namespace"], "prod", item["kind"])
            self.assertEqual(item["metadata"]["labels"]["app.kubernetes.io/instance"], "shop", item["kind"])

    @for_every_values_file
    def test_privet_is_the_first_container_and_a_native_sidecar(self, given):
        first = pod(manifests(given))["initContainers"][0]
        self.assertEqual((first["name"], first["restartPolicy"]), ("privet", "Always"))

    @for_every_values_file
    def test_the_pod_is_restricted(self, given):
        """Pod Security Standard `restricted`, and for privet a root file system that cannot be written."""
        spec = pod(manifests(given))
        self.assertIs(spec["automountServiceAccountToken"], False)
        self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        for forbidden in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
            self.assertNotIn(forbidden, spec)
        for container in spec["initContainers"] + spec["containers"]:
            context = container["securityContext"]
            self.assertIs(context["runAsNonRoot"], True)
            self.assertGreater(context["runAsUser"], 0)
            self.assertIs(context["allowPrivilegeEscalation"], False)
            self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
            self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertIs(spec["initContainers"][0]["securityContext"]["readOnlyRootFilesystem"], True)
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        self.assertLessEqual(kinds, {"configMap", "projected", "secret", "emptyDir", "persistentVolumeClaim"})

    @for_every_values_file
    def test_the_collector_cannot_reach_what_is_privets(self, given):
        spec = pod(manifests(given))
        sidecar, collector = spec["initContainers"][0], spec["containers"][0]
        ours = {mount["name"] for mount in sidecar["volumeMounts"]}
        theirs = {mount["name"] for mount in collector.get("volumeMounts", [])}
        self.assertEqual(ours & theirs, set())
        self.assertNotEqual(sidecar["securityContext"]["runAsUser"], collector["securityContext"]["runAsUser"])

    @for_every_values_file
    def test_events_reach_privet_alone(self, given):
        objects = manifests(given)
        spec = pod(objects)
        names = {port["name"]: port["containerPort"] for port in spec["initContainers"][0]["ports"]}
        self.assertEqual(set(names), {"events", "admin", "metrics"})
        self.assertNotIn("ports", spec["containers"][0])
        targets = {port["targetPort"] for item in objects if item["kind"] == "Service" for port in item["spec"]["ports"]}
        self.assertEqual(targets, {"events", "metrics"})
        listener = config(objects)["listeners"][0]["address"]
        self.assertTrue(listener.endswith(f":{names['events']}"), listener)

    @for_every_values_file
    def test_services_select_the_pods(self, given):
        objects = manifests(given)
        template = one("Deployment", objects)["spec"]["template"]["metadata"]["labels"]
        for service in (item for item in objects if item["kind"] == "Service"):
            self.assertLessEqual(service["spec"]["selector"].items(), template.items())

    @for_every_values_file
    def test_probes_ask_the_admin_port(self, given):
        sidecar = pod(manifests(given))["initContainers"][0]
        asked = {probe: sidecar[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
        # Readiness may wait for the collector, which starts after the start probe: asking /readyz there would never end.
        self.assertEqual(asked, {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"})
        for probe in asked:
            self.assertEqual(sidecar[probe]["httpGet"]["port"], "admin")

    @for_every_values_file
    def test_there_is_time_to_drain(self, given):
        objects = manifests(given)
        spec = pod(objects)
        sleeps = [c["lifecycle"]["preStop"]["sleep"]["seconds"] for c in spec["initContainers"] + spec["containers"]]
        drain = config(objects)["drain"]
        # At the end of a drain noise is published at its slot: twice 0.1 s and 0.1 ms a number, of 24,000 numbers.
        slots = math.ceil(2 * (0.1 + 24_000 * 0.0001))
        needed = max(sleeps) + drain["delay_secs"] + drain["grace_secs"] + slots
        self.assertGreater(spec["terminationGracePeriodSeconds"], needed)

    @for_every_values_file
    def test_the_memory_limit_covers_bodies_and_open_windows(self, given):
        objects = manifests(given)
        limit = pod(objects)["initContainers"][0]["resources"]["limits"]
        self.assertNotIn("cpu", limit)
        bytes_max = int(limit["memory"].removesuffix("Mi")) << 20
        self.assertGreaterEqual(bytes_max, config(objects)["limits"]["in_flight_bytes_max"] + (128 << 20) + units_bytes_max())

    @for_every_values_file
    def test_every_mount_has_its_volume_and_every_path_its_mount(self, given):
        objects = manifests(given)
        spec = pod(objects)
        volumes = {volume["name"] for volume in spec["volumes"]}
        mounts = {mount["name"]: mount for mount in spec["initContainers"][0]["volumeMounts"]}
        self.assertLessEqual(set(mounts), volumes)
        paths = {mount["mountPath"] for mount in mounts.values()}
        for path in absolute_paths(config(objects)):
            self.assertTrue(any(path == at or path.startswith(at + "/") for at in paths), path)
        for mount in mounts.values():
            self.assertNotIn("subPath", mount)

    @for_every_values_file
    def test_the_anchor_is_no_part_of_the_logs_volume(self, given):
        volumes = {volume["name"]: volume for volume in pod(manifests(given))["volumes"]}
        for other in ("log", "exports"):
            claims = [volumes[name].get("persistentVolumeClaim") for name in ("anchor", other)]
            self.assertTrue(claims[0] is None or claims[0] != claims[1])


def units_bytes_max():
    """What the open windows of all exports may take, as the sidecar's own source says."""
    source = (HERE.parents[1] / "proxy" / "src" / "export" / "plan.rs").read_text()
    mebibytes = re.search(r"UNITS_BYTES_MAX: u64 = (\d+) << 20;", source)
    assert mebibytes, "UNITS_BYTES_MAX is not where it was"
    return int(mebibytes.group(1)) << 20


def absolute_paths(value):
    """Every absolute path in a configuration."""
    if isinstance(value, dict):
        return [path for member in value.values() for path in absolute_paths(member)]
    if isinstance(value, list):
        return [path for element in value for path in absolute_paths(element)]
    return [value] if isinstance(value, str) and value.startswith("/") else []


class Choices(unittest.TestCase):
    """What single values do."""

    def test_tls_reaches_the_configuration_and_the_service(self):
        objects = manifests(values("tls"))
        listener = config(objects)["listeners"][0]
        self.assertEqual(set(listener["tls"]), {"certificate", "key", "client_ca"})
        self.assertEqual(set(config(objects)["upstream"]), {"ca", "certificate", "key"})
        ports = [port["name"] for item in objects if item["kind"] == "Service" for port in item["spec"]["ports"]]
        self.assertIn("https", ports)
        items = {v["name"]: v["secret"].get("items") for v in pod(objects)["volumes"] if "secret" in v}
        self.assertEqual(items["client-ca"], [{"key": "ca.crt", "path": "ca.crt"}])

    def test_a_digest_wins_over_a_tag(self):
        given = values("tls")
        given["collector"]["image"]["tag"] = "1.0"
        self.assertTrue(pod(manifests(given))["containers"][0]["image"].startswith("registry.example/collector@sha256:"))

    def test_without_persistence_nothing_is_claimed(self):
        objects = manifests(values("least"))
        self.assertEqual([item for item in objects if item["kind"] == "PersistentVolumeClaim"], [])
        self.assertEqual(one("Deployment", objects)["spec"]["strategy"]["type"], "RollingUpdate")

    def test_claims_are_kept_and_never_shared_by_two_pods(self):
        objects = manifests(values("persistent"))
        claims = {item["metadata"]["name"]: item for item in objects if item["kind"] == "PersistentVolumeClaim"}
        self.assertEqual(set(claims), {"shop-privet-log", "shop-privet-exports"})
        for claim in claims.values():
            self.assertEqual(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")
        used = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod(objects)["volumes"] if "persistentVolumeClaim" in v}
        self.assertEqual(used, {"log": "shop-privet-log", "anchor": "anchors-elsewhere", "exports": "shop-privet-exports"})
        self.assertEqual(one("Deployment", objects)["spec"]["strategy"], {"type": "Recreate"})

    def test_lease_is_said_in_the_configuration(self):
        self.assertEqual(config(manifests(values("persistent")))["log"]["lease_events"], 5000)
        self.assertNotIn("lease_events", config(manifests(values("least")))["log"])

    def test_settings_of_exports_reach_the_configuration_beside_the_charts_own(self):
        given = values("publishing")
        objects = manifests(given)
        own = {"directory": "/var/lib/privet/exports", "volume": "persistent"}
        self.assertEqual(config(objects)["exports"], {**own, **given["exports"]["settings"]})
        held = [volume["secret"] for volume in pod(objects)["volumes"] if volume["name"] == "exports-secret"]
        self.assertEqual(held, [{"secretName": "shop-exports", "defaultMode": 0o440}])
        mounts = [m for m in pod(objects)["initContainers"][0]["volumeMounts"] if m["name"] == "exports-secret"]
        self.assertEqual(mounts, [{"name": "exports-secret", "mountPath": "/etc/privet/exports", "readOnly": True}])
        self.assertEqual(config(manifests(values("least")))["exports"], {**own, "volume": "pod"})

    def test_bypass_auditors_and_telemetry_reach_the_configuration(self):
        given = changed("telemetry.settings", {"otlp": {"endpoint": "https://otel.example.org:4318", "token_file": "/etc/privet/telemetry/token"}})
        given = {**given, "bypass": {"allowListening": [9100]}, "challenges": {"auditors": [AUDITOR]}}
        given["telemetry"]["secretName"] = "otel"
        objects = manifests(given)
        self.assertEqual(config(objects)["bypass"], {"check": "record", "allow_listening": [9100]})
        self.assertEqual(config(objects)["challenges"], {"auditors": [AUDITOR]})
        self.assertEqual(config(objects)["telemetry"]["otlp"]["token_file"], "/etc/privet/telemetry/token")
        mounted = {mount["name"]: mount["mountPath"] for mount in pod(objects)["initContainers"][0]["volumeMounts"]}
        self.assertEqual(mounted["telemetry-secret"], "/etc/privet/telemetry")
        self.assertNotIn("bypass", config(manifests(changed("bypass.enabled", False))))

    def test_a_shipped_log_has_a_name_of_its_own(self):
        store = {"s3": {"endpoint": "https://s3.example.org", "region": "eu", "bucket": "logs", "access_key_file": "/etc/privet/ship/access", "secret_key_file": "/etc/privet/ship/secret"}}
        given = changed("log.ship", {"settings": store, "secretName": "shop-ship"})
        given["log"]["retentionDays"] = 400
        objects = manifests(given)
        log = config(objects)["log"]
        self.assertEqual((log["ship"], log["retention_days"]), (store, 400))
        self.assertTrue(log["origin"].endswith("/{pod}"), log["origin"])
        mounted = {mount["name"]: mount["mountPath"] for mount in pod(objects)["initContainers"][0]["volumeMounts"]}
        self.assertEqual(mounted["ship-secret"], "/etc/privet/ship")
        given["log"]["persistence"] = {"enabled": True}
        self.assertFalse(config(manifests(given))["log"]["origin"].endswith("/{pod}"))
        self.assertNotIn("ship", config(manifests(values("least")))["log"])

    def test_a_shared_ledger_stands_beside_other_settings_of_exports(self):
        given = values("budgets")
        given["exports"]["settings"] = {"publish": {"parquet": True}}
        settings = config(manifests(given))["exports"]
        self.assertEqual(settings["ledger"], given["exports"]["ledger"]["settings"])
        self.assertEqual((settings["volume"], settings["publish"]), ("pod", {"parquet": True}))

    def test_inline_policies_arrive_as_they_were_written(self):
        given = values("two-destinations")
        objects = manifests(given)
        held = [item for item in objects if item["kind"] == "ConfigMap" and "destinations.yaml" in item["data"]]
        written = given["policies"]["files"]["destinations.yaml"]
        self.assertEqual(list(yaml.safe_load_all(held[0]["data"]["destinations.yaml"])), list(yaml.safe_load_all(written)))
        self.assertEqual([document["metadata"]["name"] for document in yaml.safe_load_all(written)], ["collector", "partner"])
        sources = next(v for v in pod(objects)["volumes"] if v["name"] == "policies")["projected"]["sources"]
        self.assertEqual(sources, [{"configMap": {"name": held[0]["metadata"]["name"]}}])

    def test_signers_and_shadow_reach_the_configuration(self):
        objects = manifests(values("rollout"))
        settings = config(objects)
        self.assertEqual(settings["policies"], {"enforce": "/etc/privet/policies", "shadow": "/etc/privet/shadow"})
        self.assertEqual(settings["signatures"]["signers"], values("rollout")["signatures"]["signers"])
        self.assertEqual((settings["signatures"]["required"], settings["signatures"]["required_to_loosen"]), (1, 2))
        sources = next(v for v in pod(objects)["volumes"] if v["name"] == "shadow")["projected"]["sources"]
        self.assertEqual(sources, [{"configMap": {"name": "shop-policies-next"}}])
        self.assertNotIn("signatures", config(manifests(values("least"))))

    def test_a_new_policy_does_not_restart_pods_and_a_new_configuration_does(self):
        def template(given):
            return one("Deployment", manifests(given))["spec"]["template"]

        before = values("two-destinations")
        policy = copy.deepcopy(before)
        policy["policies"]["files"]["destinations.yaml"] += "# a remark\n"
        self.assertEqual(template(before), template(policy))
        settings = copy.deepcopy(before)
        settings["limits"] = {"bodyBytesMax": 4096}
        self.assertNotEqual(template(before), template(settings))

    def test_the_network_policy_leaves_the_admin_port_out(self):
        rules = one("NetworkPolicy", manifests(values("least")))["spec"]
        self.assertEqual([port["port"] for rule in rules["ingress"] for port in rule["ports"]], ["events", "metrics"])
        self.assertEqual(rules["policyTypes"], ["Ingress"])

    def test_egress_is_dns_and_what_was_listed(self):
        spec = one("NetworkPolicy", manifests(values("two-destinations")))["spec"]
        self.assertEqual(spec["policyTypes"], ["Ingress", "Egress"])
        self.assertEqual(sorted({port["port"] for rule in spec["egress"] for port in rule["ports"]}), [53, 443])
        self.assertEqual([port["port"] for rule in spec["ingress"] for port in rule["ports"]], ["events"])

    def test_the_service_monitor_finds_the_metrics_service(self):
        objects = manifests(values("persistent"))
        monitor = one("ServiceMonitor", objects)
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [item for item in objects if item["kind"] == "Service" and wanted <= item["metadata"]["labels"].items()]
        self.assertEqual([item["metadata"]["name"] for item in found], ["shop-privet-metrics"])
        self.assertEqual(monitor["spec"]["endpoints"][0]["port"], found[0]["spec"]["ports"][0]["name"])

    def test_the_notes_say_what_will_not_last(self):
        notes = render(values("least"))["privet/templates/NOTES.txt"]
        self.assertIn("it ends with the pod", notes)
        self.assertNotIn("it ends with the pod", render(values("persistent"))["privet/templates/NOTES.txt"])

    def test_the_notes_say_that_exports_stay_off_only_where_they_do(self):
        off = "The privacy budget is on an emptyDir"
        for name, stays in {"least": True, "persistent": False, "budgets": False}.items():
            self.assertEqual(off in render(values(name))["privet/templates/NOTES.txt"], stays, name)


class Refusals(unittest.TestCase):
    """Values that cannot be right are refused, and the message names them."""

    def refused(self, given, *words):
        with self.assertRaises(helm_python.HelmError) as caught:
            render(given)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_nothing_given(self):
        self.refused({}, "collector.image.repository")

    def test_each_value_without_a_default(self):
        self.refused(changed("collector.image", {"repository": "c"}), "collector.image needs a tag or a digest")
        self.refused(changed("keyring.secretName", ""), "keyring.secretName")
        self.refused(changed("policies", {}), "no policies")

    def test_values_that_do_not_fit_together(self):
        self.refused(changed("replicas", 2, base="persistent"), "log.persistence.enabled with replicas above 1")
        self.refused(changed("drain", {"terminationGracePeriodSeconds": 20}), "must be at least 40")
        self.refused(changed("exports.publishSeconds", 60), "must be at least 95", "exports.publishSeconds")
        self.refused(changed("collector.securityContext", {"runAsUser": 65532}), "equals privet.runAsUser")
        self.refused(changed("collector.port", 8080), "port 8080 is given to both")
        self.refused(changed("tls", {"clientCaSecretName": "ca"}), "without tls.secretName")
        self.refused(changed("limits", {"bodyBytesMax": 3000000, "inFlightMiB": 1}), "would never be taken")
        self.refused(changed("limits", {"decodedBytesMax": 1024}), "limits.decodedBytesMax")
        self.refused(changed("jurisdiction", {"header": "x-where"}), "jurisdiction.trustedPeers")
        self.refused(changed("signatures.required", 3, base="rollout"), "more than the 2 signatures.signers")
        for key in ("directory", "volume", "ledger"):
            self.refused(changed("exports.settings", {key: {}}), f"exports.settings.{key} has no effect")
        both = changed("signatures.required", 2, base="rollout")
        both["signatures"]["requiredToLoosen"] = 1
        self.refused(both, "signatures.requiredToLoosen is less than signatures.required")

    def test_what_the_schema_forbids(self):
        for path, value in {
            "colector": {},
            "privet.securityContext": {"privileged": True},
            "privet.runAsUser": 0,
            "collector.securityContext": {"runAsUser": 0},
            "collector.securityContext.privileged": True,
            "collector.securityContext.runAsNonRoot": False,
            "collector.securityContext.capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            "privet.ports.events": 80,
            "replicas": 0,
            "log.durability": "never",
            "formats": [],
            "collector.image.digest": "sha256:short",
            "policies.files": {"../files.yaml": "x"},
            "signatures.signers": ["marla"],
            "log.persistence.size": "10",
            "keyring.secretName": "Not A Name",
        }.items():
            with self.subTest(path=path, value=value):
                self.refused(changed(path, value), path.split(".")[-1])


class PrivetReadsIt(unittest.TestCase):
    """The rendered configuration, read by the binary that will read it in the pod."""

    def said_about(self, settings):
        """What `privet run` says when started with `settings` and none of the pod's mounts."""
        binary = os.environ.get("PRIVET_BIN") or self.fail("set PRIVET_BIN to the privet binary, or run `make helm`")
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory, "privet.yaml")
            text = yaml.safe_dump(settings).replace("/etc/privet", directory).replace("/var/lib/privet", directory)
            file.write_text(re.sub(r"(?m)^( *(?:- )?address: ).*$", r"\g<1>127.0.0.1:0", text))
            running = subprocess.Popen(
                [binary, "run", "--config", str(file)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env={**os.environ, "POD_NAME": "shop-7d9c-x2x4z"},
            )
            try:
                said, _ = running.communicate(timeout=3)
            except subprocess.TimeoutExpired:
                running.terminate()
                said, _ = running.communicate(timeout=30)
        self.assertNotIn("panic", said)
        return said

    @for_every_values_file
    def test_the_configuration_is_understood(self, given):
        """Without its mounts privet ends over a missing file or waits for one, never over the configuration itself."""
        said = self.said_about(config(manifests(given)))
        # C007 is a file that is not there, with the place where it is named.
        self.assertLessEqual(set(re.findall(r"error\[(C\d+)\]", said)), {"C007"}, said)

    def test_a_mistake_would_be_noticed(self):
        settings = config(manifests(values("least")))
        settings["limits"]["body_bytes_mox"] = 4096
        said = self.said_about(settings)
        self.assertIn("privet.yaml:", said)
        self.assertIn("body_bytes_mox", said)


if __name__ == "__main__":
    unittest.main()
