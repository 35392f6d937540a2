//! Amounts of CPU and memory, in the spellings that people use. Kubernetes accepts more (`1e3`, `5E`); here that is a mistake.

/// Cores (`2`, `0.5`) or thousandths of one (`100m`), more than none.
pub(super) fn is_cpu(text: &str) -> bool {
    match text.strip_suffix('m') {
        Some(thousandths) => is_whole(thousandths),
        None => match text.split_once('.') {
            Some((whole, part)) => {
                part.len() <= 3
                    && digits(whole)
                    && digits(part)
                    && !(whole.to_owned() + part).bytes().all(|b| b == b'0')
            }
            None => is_whole(text),
        },
    }
}

/// Bytes, with a suffix or without, more than none.
pub(super) fn is_memory(text: &str) -> bool {
    let suffixes = ["Ki", "Mi", "Gi", "k", "M", "G"];
    let number = suffixes
        .iter()
        .find_map(|suffix| text.strip_suffix(suffix))
        .unwrap_or(text);
    is_whole(number)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_whole(text: &str) -> bool {
    digits(text) && text.bytes().any(|byte| byte != b'0')
}
