//! Certificates that are made for one test and thrown away.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CustomExtension, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use time::{Duration, OffsetDateTime};

/// The name that Netdata Cloud's certificate has.
pub(crate) const NETDATA: &str = "app.netdata.cloud";

/// An authority, and what it issues.
pub(crate) struct Pki {
    pub(crate) directory: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// A client's chain and key.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Leaf {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.clone()).unwrap()
    }

    /// Its public half, for another certificate of it.
    pub(crate) fn public_key(&self) -> KeyPair {
        KeyPair::try_from(self.key.as_slice()).unwrap()
    }

    pub(crate) fn chain_pem(&self) -> String {
        self.chain
            .iter()
            .map(|der| pem("CERTIFICATE", der))
            .collect()
    }

    pub(crate) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }
}

impl Pki {
    /// An authority, and a server certificate for `localhost` in `server.pem` and `server.key`.
    pub(crate) fn new() -> Self {
        Self::of("Test Root CA")
    }

    /// The same, by an authority of this name.
    pub(crate) fn of(name: &str) -> Self {
        let authority = authority(name);
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let server =
            CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let server = server.signed_by(&key, &authority).unwrap();
        let pki = Self {
            directory,
            authority,
        };
        pki.write("ca.pem", &pki.authority.pem());
        // The whole chain: this authority is not known anywhere.
        pki.write("server.pem", &(server.pem() + &pki.authority.pem()));
        pki.write("server.key", &key.serialize_pem());
        std::fs::set_permissions(pki.path().join("server.key"), Permissions::from_mode(0o600))
            .unwrap();
        pki
    }

    /// A server certificate that expires soon, in `name.pem` and `name.key`.
    pub(crate) fn short_lived_server(&self, name: &str, life: Duration) {
        let key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(["localhost".to_owned()]).unwrap();
        server.not_after = OffsetDateTime::now_utc() + life;
        self.write(
            &format!("{name}.pem"),
            &server.signed_by(&key, &self.authority).unwrap().pem(),
        );
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// One that many tests share: nothing in it is changed.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Pki> = LazyLock::new(Pki::new);
        &SHARED
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn authority(&self) -> &CertificateDer<'static> {
        self.authority.der()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        // As editors do: readers see the old file or the new one.
        let mut new = tempfile::NamedTempFile::new_in(self.path()).unwrap();
        new.write_all(text.as_bytes()).unwrap();
        new.persist(&path).unwrap();
        path
    }

    /// Netdata Cloud's own.
    pub(crate) fn netdata(&self) -> Leaf {
        self.leaf(|_| {})
    }

    /// Writes `leaf` to `name.pem` and `name.key`.
    pub(crate) fn write_leaf(&self, name: &str, leaf: &Leaf) {
        self.write(&format!("{name}.pem"), &leaf.chain_pem());
        self.write(&format!("{name}.key"), &leaf.key_pem());
    }

    /// One that Netdata Cloud's name is changed of.
    pub(crate) fn named(&self, common_name: &str) -> Leaf {
        self.leaf(|params| {
            params.distinguished_name = subject(&[(DnType::CommonName, common_name.into())])
        })
    }

    /// One whose parameters `change` changes.
    pub(crate) fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        self.leaf_with_key(KeyPair::generate().unwrap(), change)
    }

    pub(crate) fn leaf_with_key(
        &self,
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        issue(&self.authority, key, change, Vec::new())
    }

    /// An RSA one.
    pub(crate) fn rsa(&self) -> Leaf {
        self.leaf_with_key(
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
            |_| {},
        )
    }

    /// One below `depth` intermediate authorities, each of which `change` changes.
    pub(crate) fn below(&self, depth: usize, change: impl Fn(&mut CertificateParams)) -> Leaf {
        self.issued_below(depth, change, |_| {})
    }

    /// One below `depth` intermediate authorities, of which `change` changes the leaf.
    pub(crate) fn below_for(
        &self,
        depth: usize,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        self.issued_below(depth, |_| {}, change)
    }

    /// One below `depth` intermediate authorities, each of which `change` changes, and the leaf
    /// `change_leaf`.
    pub(crate) fn issued_below(
        &self,
        depth: usize,
        change: impl Fn(&mut CertificateParams),
        change_leaf: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        let mut chain = Vec::new();
        let mut issuer: Option<CertifiedIssuer<'static, KeyPair>> = None;
        for level in 0..depth {
            let mut params = authority_params(&format!("Intermediate {level}"));
            change(&mut params);
            let key = KeyPair::generate().unwrap();
            let next = match &issuer {
                None => CertifiedIssuer::signed_by(params, key, &self.authority),
                Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer),
            };
            let next = next.unwrap();
            chain.insert(0, next.der().clone());
            issuer = Some(next);
        }
        let issuer = issuer.expect("there is at least one intermediate");
        issue(&issuer, KeyPair::generate().unwrap(), change_leaf, chain)
    }

    /// One that another authority of the same name issued.
    pub(crate) fn impostor(&self) -> Leaf {
        issue(
            &authority("Test Root CA"),
            KeyPair::generate().unwrap(),
            |_| {},
            Vec::new(),
        )
    }

    /// One that signed itself.
    pub(crate) fn self_signed(&self) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let certificate = netdata_params().self_signed(&key).unwrap();
        Leaf {
            chain: vec![certificate.der().clone()],
            key: key.serialize_der(),
        }
    }

    /// A certificate for a server, whose parameters `change` changes; written to `name.pem` and
    /// `name.key`, too.
    pub(crate) fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
        Leaf {
            chain: vec![certificate.der().clone()],
            key: key.serialize_der(),
        }
    }

    /// How a server presents the certificate in `server.pem`.
    pub(crate) fn own_server_config(&self) -> ServerConfig {
        use rustls::pki_types::pem::PemObject as _;
        let pem = |name: &str| std::fs::read(self.path().join(name)).unwrap();
        let chain = pem("server.pem");
        let chain = CertificateDer::pem_slice_iter(&chain);
        let key = PrivateKeyDer::from_pem_slice(&pem("server.key")).unwrap();
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap()
    }

    /// How an application serves `leaf`; clients must present a certificate of `clients`, if
    /// that is given.
    pub(crate) fn server_config(leaf: &Leaf, clients: Option<&Pki>) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.authority().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        builder
            .with_single_cert(leaf.chain.clone(), leaf.key())
            .unwrap()
    }

    /// The authority's revocation list, in PEM, naming `serials`; the next one is due after `due`.
    pub(crate) fn revocation_list(&self, serials: &[u64], due: Duration) -> String {
        self.changed_list(serials, |list| {
            list.next_update = OffsetDateTime::now_utc() + due
        })
    }

    /// The authority's revocation list, in PEM, naming `serials`, as `change` changes it.
    pub(crate) fn changed_list(
        &self,
        serials: &[u64],
        change: impl FnOnce(&mut CertificateRevocationListParams),
    ) -> String {
        list(serials, change, &self.authority)
    }

    /// The same, by an authority of the same key whose certificate `change_issuer` changes.
    pub(crate) fn list_of_changed_issuer(
        &self,
        serials: &[u64],
        change_issuer: impl FnOnce(&mut CertificateParams),
    ) -> String {
        let mut params = authority_params("Test Root CA");
        change_issuer(&mut params);
        list(
            serials,
            |_| {},
            &Issuer::from_params(&params, self.authority.key()),
        )
    }

    /// The certificate of an authority that signed itself, in PEM, as `change` changes it.
    pub(crate) fn changed_authority(&self, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = authority_params("Test Root CA");
        change(&mut params);
        params.self_signed(self.authority.key()).unwrap().pem()
    }

    /// A certificate for the authority `other`, by this one: on a way to itself, or from the old
    /// key to a new one.
    pub(crate) fn cross_sign(
        &self,
        other: &Self,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = authority_params("Test Root CA");
        change(&mut params);
        params
            .signed_by(other.authority.key(), &self.authority)
            .unwrap()
            .der()
            .clone()
    }
}

fn list(
    serials: &[u64],
    change: impl FnOnce(&mut CertificateRevocationListParams),
    issuer: &Issuer<'_, impl rcgen::SigningKey>,
) -> String {
    let now = OffsetDateTime::now_utc();
    let revoked = |serial: &u64| rcgen::RevokedCertParams {
        serial_number: (*serial).into(),
        revocation_time: now - Duration::hours(1),
        reason_code: None,
        invalidity_date: None,
    };
    let mut params = CertificateRevocationListParams {
        this_update: now - Duration::days(2),
        next_update: now + Duration::days(1),
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    change(&mut params);
    params.signed_by(issuer).unwrap().pem().unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        BASE64_STANDARD.encode(der)
    )
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(&[
        (DnType::OrganizationName, "Test".into()),
        (DnType::CommonName, name.into()),
    ]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn netdata_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(&[
        (DnType::OrganizationName, "Netdata, Inc.".into()),
        (DnType::CommonName, NETDATA.into()),
    ]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn issue(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
    change: impl FnOnce(&mut CertificateParams),
    mut above: Vec<CertificateDer<'static>>,
) -> Leaf {
    let mut params = netdata_params();
    change(&mut params);
    let certificate = params.signed_by(&key, issuer).unwrap();
    above.insert(0, certificate.der().clone());
    Leaf {
        chain: above,
        key: key.serialize_der(),
    }
}

/// A subject of these attributes.
pub(crate) fn subject(attributes: &[(DnType, DnValue)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in attributes {
        name.push(kind.clone(), value.clone());
    }
    name
}

/// The attribute type of a common name, as another than [`DnType::CommonName`], so that a subject
/// can have two.
pub(crate) fn another_common_name() -> DnType {
    DnType::CustomDnType(vec![2, 5, 4, 3])
}

/// An unknown extension that must not be ignored.
pub(crate) fn critical_unknown_extension() -> CustomExtension {
    let mut extension =
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(true);
    extension
}
