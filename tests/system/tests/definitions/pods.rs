//! Pods whose containers have images, in networks that real CNI plugins make.

use chapada_harness::{Http, eventually};
use serde_json::{Value, json};

use super::{WITHIN, image, shelf};

/// One container serves what is in its image, the other asks it over the network that both have and says what it got.
fn pod(id: &str, network: &Value) -> Value {
    let container = |name: &str, line: &str| {
        json!({
            "name": name, "image": {"kind": "DOCKER", "id": "box:v1"}, "resources": {"cpus": 0.1, "mem": 32},
            "exec": {"command": {"shell": line}},
        })
    };
    let asks =
        "until busybox wget -q -O got http://127.0.0.1:80/index.html; do sleep 0.1; done; exec sleep 1000";
    let mut asker = container("asks", &format!("cd $MESOS_SANDBOX; {asks}"));
    // What it got, and that its files are those of the image.
    asker["healthCheck"] = json!({
        "exec": {"command": {"shell": "test $(cat $MESOS_SANDBOX/got) = well && test -e /srv/index.html"}},
        "delaySeconds": 0, "intervalSeconds": 1, "timeoutSeconds": 0.9,
    });
    let mut server = container("web", "exec httpd -f -p 80 -h /srv");
    server["endpoints"] = json!([{"name": "http", "containerPort": 80, "hostPort": 0}]);
    server["healthCheck"] = json!({
        "http": {"endpoint": "http", "path": "/index.html"}, "delaySeconds": 0, "intervalSeconds": 1,
        "timeoutSeconds": 0.9,
    });
    json!({"id": id, "networks": [network], "containers": [server, asker], "scheduling": {"backoff": {"backoff": 0.1}}})
}

/// An instance of the pod, once both of its containers are well.
fn well(services: &Http, id: &str) -> Value {
    eventually(&format!("{id} is well"), WITHIN, || {
        let status = services.get(&format!("/v2/pods{id}::status"))?;
        let instance = &status["instances"][0];
        let is_well = |at: usize| instance["containers"][at]["conditions"][0]["value"] == "true";
        if is_well(0) && is_well(1) { Ok(instance.clone()) } else { Err(format!("{status:#}")) }
    })
}

/// Whether the port of the machine leads to the server, and its own address is in that network.
fn is_reached(instance: &Value, network: &str) {
    let port = &instance["containers"][0]["endpoints"][0]["allocatedHostPort"];
    let host = instance["agentHostname"].as_str().unwrap_or_default();
    let page = eventually("the port of the machine leads there", WITHIN, || {
        Http::new(&format!("{host}:{port}")).text("/index.html")
    });
    assert_eq!(page, "well\n");
    let own = instance["networks"][0]["addresses"][0].as_str().unwrap_or_default();
    assert!(own.starts_with(network) && own != host, "{instance:#}");
}

#[test]
fn containers_of_images_share_a_network_of_real_plugins() {
    let shelf = shelf();
    image::make(&shelf.path().join("images/box"));
    let configs = shelf.path().join("net.d");
    std::fs::create_dir_all(&configs).expect("files of the test");
    let lan = json!({
        "cniVersion": "1.0.0", "name": "lan",
        "plugins": [
            {
                "type": "bridge", "bridge": "br-lan", "isGateway": true, "ipMasq": true,
                "ipam": {
                    "type": "host-local", "dataDir": shelf.path().join("leases"),
                    "ranges": [[{"subnet": "10.231.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    std::fs::write(configs.join("lan.conflist"), lan.to_string()).expect("files of the test");
    let cluster = chapada_harness::Cluster::builder()
        .separate_machines()
        .agent_flag(&format!("--docker-registry={}", shelf.path().join("images").display()))
        .agent_flag(&format!("--network-cni-config-dir={}", configs.display()))
        .services()
        .start();
    let services = cluster.services_http();
    let lan = pod("/images/lan", &json!({"mode": "container", "name": "lan"}));
    services.send("POST", "/v2/pods", &lan).expect("the pod is accepted");
    let bridged = pod("/images/bridged", &json!({"mode": "container/bridge"}));
    services.send("POST", "/v2/pods", &bridged).expect("the pod is accepted");
    let instance = well(&services, "/images/lan");
    assert_eq!(instance["networks"][0]["name"], "lan");
    is_reached(&instance, "10.231.0.");
    is_reached(&well(&services, "/images/bridged"), "10.222.");
}
