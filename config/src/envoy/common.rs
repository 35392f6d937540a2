//! Small messages that many resources use.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use prost_types::value::Kind as ValueKind;
use prost_types::{Any, Struct, Value};
use xds::{Kind, Reference};

use super::api::{any, core, listener, r#type};

/// How long a missing resource may hold up what refers to it.
const INITIAL_FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A duration.
pub(crate) fn duration(value: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(value.subsec_nanos()).unwrap_or(0),
    }
}

/// "From the ADS stream".
pub(crate) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        initial_fetch_timeout: Some(duration(INITIAL_FETCH_TIMEOUT)),
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        ..Default::default()
    }
}

/// An IP address and TCP port.
pub(crate) fn address(ip: IpAddr, port: u16) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(socket_address(ip, port))),
    }
}

/// The same, where the API wants it bare.
pub(crate) fn socket_address(ip: IpAddr, port: u16) -> core::SocketAddress {
    core::SocketAddress {
        address: ip.to_string(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
        ..Default::default()
    }
}

/// A share of a million.
pub(crate) fn per_million(numerator: u32) -> r#type::FractionalPercent {
    r#type::FractionalPercent {
        numerator,
        denominator: r#type::fractional_percent::DenominatorType::Million.into(),
    }
}

/// An extension by name and configuration.
pub(crate) fn extension<M: prost::Message + prost::Name>(name: &str, message: &M) -> core::TypedExtensionConfig {
    core::TypedExtensionConfig {
        name: name.to_owned(),
        typed_config: Some(any(message)),
    }
}

/// A network filter.
pub(crate) fn network_filter(name: &str, config: Any) -> listener::Filter {
    listener::Filter {
        name: name.to_owned(),
        config_type: Some(listener::filter::ConfigType::TypedConfig(config)),
    }
}

/// A filter that arrives by ECDS. `default` is what it falls back to when its time is up.
pub(crate) fn discovered(type_url: String, default: Option<Any>) -> core::ExtensionConfigSource {
    core::ExtensionConfigSource {
        config_source: Some(ads()),
        default_config: default,
        type_urls: vec![type_url],
        ..Default::default()
    }
}

/// Text from this configuration.
pub(crate) fn inline(text: &str) -> core::DataSource {
    core::DataSource {
        specifier: Some(core::data_source::Specifier::InlineString(text.to_owned())),
        ..Default::default()
    }
}

/// An object of text values.
pub(crate) fn text_struct<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Struct {
    let value = |text: &str| Value {
        kind: Some(ValueKind::StringValue(text.to_owned())),
    };
    Struct {
        fields: fields
            .into_iter()
            .map(|(name, text)| (name.to_owned(), value(text)))
            .collect(),
    }
}

/// Metadata with one namespace of text values.
pub(crate) fn metadata<'a>(namespace: &str, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> core::Metadata {
    core::Metadata {
        filter_metadata: BTreeMap::from([(namespace.to_owned(), text_struct(fields))]),
        ..Default::default()
    }
}

/// A reference to a resource by its typed name.
pub(crate) fn reference(kind: Kind, name: &impl ToString) -> Reference {
    Reference::new(kind, name.to_string())
}
