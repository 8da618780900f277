//! A software authenticator: what a phone or a security key does with `navigator.credentials`, and what a bad one does.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Flags of authenticator data (WebAuthn Level 3, section 6.1).
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

/// One passkey, with its private half.
pub(crate) struct Authenticator {
    key: EcdsaKeyPair,
    credential_id: Vec<u8>,
    user: String,
    /// The origin that the browser writes into what is signed.
    pub(crate) origin: String,
    /// The site whose digest the authenticator writes into what is signed.
    pub(crate) rp_id: String,
    /// Asks for a finger, a face or a PIN.
    pub(crate) verifies: bool,
    /// The clone counter; it grows with each use.
    pub(crate) counter: u32,
}

impl Authenticator {
    /// Makes a passkey from creation options, as the browser at `origin` does.
    pub(crate) fn create(origin: &str, options: &Value) -> (Self, Value) {
        Self::created(origin, options, true)
    }

    /// Makes one that asks for nothing but a touch.
    pub(crate) fn create_without_verification(origin: &str, options: &Value) -> (Self, Value) {
        Self::created(origin, options, false)
    }

    fn created(origin: &str, options: &Value, verifies: bool) -> (Self, Value) {
        let public = &options["publicKey"];
        assert_eq!(public["authenticatorSelection"]["residentKey"], "required", "{options}");
        assert_eq!(public["authenticatorSelection"]["userVerification"], "required", "{options}");
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let mut credential_id = vec![0; 32];
        aws_lc_rs::rand::fill(&mut credential_id).unwrap();
        let this = Self {
            key,
            credential_id,
            user: public["user"]["id"].as_str().unwrap().to_owned(),
            origin: origin.to_owned(),
            rp_id: public["rp"]["id"].as_str().unwrap().to_owned(),
            verifies,
            counter: 1,
        };
        let client_data = this.client_data("webauthn.create", public["challenge"].as_str().unwrap());
        let mut object = vec![0xa3];
        text(&mut object, "fmt");
        text(&mut object, "none");
        text(&mut object, "attStmt");
        object.push(0xa0);
        text(&mut object, "authData");
        bytes(&mut object, &this.attested());
        let credential = json!({
            "id": URL_SAFE_NO_PAD.encode(&this.credential_id),
            "rawId": URL_SAFE_NO_PAD.encode(&this.credential_id),
            "type": "public-key",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
                "attestationObject": URL_SAFE_NO_PAD.encode(object),
                "transports": ["internal"],
            },
            "extensions": {},
        });
        (this, credential)
    }

    /// Signs a challenge.
    pub(crate) fn get(&mut self, options: &Value) -> Value {
        self.counter += 1;
        let challenge = options["publicKey"]["challenge"].as_str().unwrap();
        let client_data = self.client_data("webauthn.get", challenge);
        let data = self.data(0);
        let mut signed = data.clone();
        signed.extend_from_slice(&Sha256::digest(client_data.as_bytes()));
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": URL_SAFE_NO_PAD.encode(&self.credential_id),
            "rawId": URL_SAFE_NO_PAD.encode(&self.credential_id),
            "type": "public-key",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
                "authenticatorData": URL_SAFE_NO_PAD.encode(data),
                "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
                "userHandle": self.user,
            },
            "extensions": {},
        })
    }

    fn client_data(&self, kind: &str, challenge: &str) -> String {
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false }).to_string()
    }

    fn data(&self, more: u8) -> Vec<u8> {
        let mut data = Sha256::digest(self.rp_id.as_bytes()).to_vec();
        data.push(PRESENT | more | if self.verifies { VERIFIED } else { 0 });
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    /// Authenticator data with the public half as a COSE key (RFC 9053 section 7.1).
    fn attested(&self) -> Vec<u8> {
        let mut data = self.data(ATTESTED);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&u16::try_from(self.credential_id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&self.credential_id);
        let point = self.key.public_key().as_ref();
        assert_eq!((point.len(), point[0]), (65, 4), "an uncompressed point");
        // {1: 2, 3: -7, -1: 1, -2: x, -3: y}
        data.extend_from_slice(&[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21]);
        bytes(&mut data, &point[1..33]);
        data.push(0x22);
        bytes(&mut data, &point[33..65]);
        data
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(0x60 | u8::try_from(text.len()).unwrap());
    out.extend_from_slice(text.as_bytes());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap();
    match length {
        0..=23 => out.push(0x40 | u8::try_from(length).unwrap()),
        24..=255 => out.extend_from_slice(&[0x58, u8::try_from(length).unwrap()]),
        _ => {
            out.push(0x59);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}
