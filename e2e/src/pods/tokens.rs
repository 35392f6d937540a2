//! Tokens that nobody issued: as like a real one as can be, but for what a test changes.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, SigningKey};
use serde_json::Value;

/// A JSON Web Token taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its header.
    pub header: Value,
    /// What it claims.
    pub claims: Value,
}

impl Token {
    /// Takes a token apart; its signature is forgotten.
    pub fn parse(token: &str) -> Result<Self> {
        let mut parts = token.trim().split('.').map(|part| -> Result<Value> {
            let bytes = URL_SAFE_NO_PAD.decode(part).context("a part of the token")?;
            Ok(serde_json::from_slice(&bytes)?)
        });
        let mut next = || parts.next().context("the token has too few parts")?;
        Ok(Self {
            header: next()?,
            claims: next()?,
        })
    }

    /// The same with another value in its header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.header, name, value.into());
        self
    }

    /// The same with another claim.
    #[must_use]
    pub fn with_claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.claims, name, value.into());
        self
    }

    /// Without a signature, as `alg: none` wants it.
    pub fn unsigned(&self) -> String {
        format!("{}.", self.text())
    }

    /// Signed with an RSA key (RS256).
    pub fn signed(&self, key: &KeyPair) -> Result<String> {
        let text = self.text();
        let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes())?);
        Ok(format!("{text}.{signature}"))
    }

    fn text(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_can_be_taken_apart_and_changed() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let text = format!("{}.{}.c2lnbmF0dXJl", part(r#"{"alg":"RS256"}"#), part(r#"{"exp":1}"#));
        let token = Token::parse(&text).unwrap();
        let changed = token.clone().with_header("alg", "none").with_claim("exp", 2);
        assert_ne!(changed, token);
        let unsigned = changed.unsigned();
        assert!(unsigned.ends_with('.'), "{unsigned}");
        assert_eq!(Token::parse(&unsigned).unwrap(), changed);
        assert!(Token::parse("x").is_err());
    }
}
