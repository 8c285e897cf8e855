//! Services outside the mesh, over TLS as they speak it.

use std::fs;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use taut_proxy::Role;

use crate::client::get;
use crate::fixture::{Issuer, Running};
use crate::server::App;

/// The number of every certificate that it signs.
const SERIAL: u64 = 7;

/// An authority of the world outside, its files, and what it signs.
struct World {
    folder: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl World {
    fn new() -> World {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        World { folder, authority }
    }

    /// A certificate and its key, as files of that name too.
    fn certify(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.serial_number = Some(SERIAL.into());
        let leaf = params.signed_by(&key, &self.authority).unwrap();
        fs::write(self.folder.path().join("own.pem"), leaf.pem()).unwrap();
        fs::write(self.folder.path().join("own.key"), key.serialize_pem()).unwrap();
        (leaf.der().clone(), PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap())
    }

    /// An application with a certificate for a name; with `asks`, only for clients that this authority certified.
    async fn serve(&self, name: &str, asks: bool) -> App {
        let (leaf, key) = self.certify(name);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let builder = if asks {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        App::start_tls("outside", builder.with_single_cert(vec![leaf], key).unwrap()).await
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A sidecar that calls `api.example`, which is at the application, with this `tls`.
    fn calling(&self, app: &App, tls: &str) -> Running {
        let sidecar = Running::start("frontend", &[Role::Outbound { port: 80 }], Issuer::new().identity("frontend"));
        let (snapshot, objects, endpoints) = crate::mesh::compiled_with_endpoints(&format!(
            "{}apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api, namespace: shop}}
spec:
  hosts: [api.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{name: http, number: 80, protocol: HTTP, targetPort: {}}}]
  endpoints: [{{address: 127.0.0.1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: shop}}
spec:
  host: api.example
  trafficPolicy: {{tls: {tls}}}
",
            crate::mesh::SHOP,
            app.address.port(),
        ));
        let prepared =
            tokio::task::block_in_place(|| taut_delivery::Runner::prepare(&*sidecar.proxy, snapshot, &objects));
        sidecar.run((snapshot, prepared.unwrap()));
        sidecar.endpoints(endpoints.endpoints);
        sidecar
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_believed_by_its_certificate() {
    let world = World::new();
    let app = world.serve("api.example", false).await;
    let trusting = world.calling(&app, &format!("{{mode: SIMPLE, caCertificates: {}}}", world.file("ca.pem")));
    let answer = get(trusting.address(), "api.example", "/").await;
    assert_eq!((answer.status, answer.app()), (200, "outside"));
    assert!(!answer.body.contains("x-envoy-peer-metadata"), "who we are is for the mesh alone");

    let system = world.calling(&app, "{mode: SIMPLE}");
    assert_eq!(get(system.address(), "api.example", "/").await.status, 503, "this machine does not trust it");
    let anybody = world.calling(&app, "{mode: SIMPLE, insecureSkipVerify: true}");
    assert_eq!(get(anybody.address(), "api.example", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_in_the_certificate_counts() {
    let world = World::new();
    let app = world.serve("other.example", false).await;
    let ca = world.file("ca.pem");
    let tls = |rest: &str| format!("{{mode: SIMPLE, caCertificates: {ca}{rest}}}");
    assert_eq!(get(world.calling(&app, &tls("")).address(), "api.example", "/").await.status, 503);
    for rest in [", sni: other.example", ", subjectAltNames: [third.example, other.example]"] {
        let sidecar = world.calling(&app, &tls(rest));
        assert_eq!(get(sidecar.address(), "api.example", "/").await.status, 200, "{rest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_ask_who_calls() {
    let world = World::new();
    let app = world.serve("api.example", true).await;
    let ca = world.file("ca.pem");
    let simple = world.calling(&app, &format!("{{mode: SIMPLE, caCertificates: {ca}}}"));
    assert_eq!(get(simple.address(), "api.example", "/").await.status, 503);
    let (own, key) = (world.file("own.pem"), world.file("own.key"));
    let mutual = format!("{{mode: MUTUAL, caCertificates: {ca}, clientCertificate: {own}, privateKey: {key}}}");
    assert_eq!(get(world.calling(&app, &mutual).address(), "api.example", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_counts_no_longer() {
    let world = World::new();
    let app = world.serve("api.example", false).await;
    let revoke = |serial: u64| {
        let now = std::time::SystemTime::now();
        let params = rcgen::CertificateRevocationListParams {
            this_update: (now - std::time::Duration::from_secs(60)).into(),
            next_update: (now + std::time::Duration::from_secs(3_600)).into(),
            crl_number: rcgen::SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![rcgen::RevokedCertParams {
                serial_number: rcgen::SerialNumber::from(serial),
                revocation_time: now.into(),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        fs::write(world.folder.path().join("crl.pem"), params.signed_by(&world.authority).unwrap().pem().unwrap())
            .unwrap();
    };
    let tls = format!("{{mode: SIMPLE, caCertificates: {}, caCrl: {}}}", world.file("ca.pem"), world.file("crl.pem"));
    for (serial, status) in [(SERIAL + 1, 200), (SERIAL, 503)] {
        revoke(serial);
        assert_eq!(get(world.calling(&app, &tls).address(), "api.example", "/").await.status, status);
    }
}
