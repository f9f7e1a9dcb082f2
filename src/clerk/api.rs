//! Clerk's Backend API: which e-mail templates there are, and who delivers each.
//!
//! Its specification (<https://clerk.com/docs/reference/backend-api/tag/email-sms-templates>) calls these operations
//! deprecated and names no others. So that they are gone is an outcome of its own.

use crate::{
    config::ClerkAccess,
    model::mail::Slug,
    ports::{Clock, Http, HttpMethod, HttpRequest, HttpResponse, WhenLate},
};
use serde_json::Value;
use std::time::Duration;

/// The longest page that the specification allows. Without a limit a page has ten templates.
const PAGE: usize = 500;
/// Clerk has 26 templates of its own. A list that never ends is not followed for ever.
const PAGES_MAX: usize = 4;
/// Each request is one of a setting, which Clerk answers within a second.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why Clerk did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// 401, 403: the key is wrong.
    WrongKey,
    /// 404, 410: there is no such operation any more, or no such template.
    Gone,
    /// 423: the template is locked for a moment.
    Locked,
    /// 429, 5xx, or no answer.
    Busy {
        /// As Clerk asks for.
        retry_after: Option<Duration>,
    },
    /// Any other answer, as 400 and 422.
    Refused,
}

impl ApiError {
    /// Whether the same request may succeed later.
    pub fn is_temporary(self) -> bool {
        match self {
            Self::Locked | Self::Busy { .. } => true,
            Self::WrongKey | Self::Gone | Self::Refused => false,
        }
    }

    /// Whether it says nothing about the template, so that a request for another one would end like this, too.
    pub fn is_general(self) -> bool {
        match self {
            Self::WrongKey | Self::Busy { .. } => true,
            Self::Gone | Self::Locked | Self::Refused => false,
        }
    }
}

/// The slug of a template that Clerk does not deliver. It becomes part of an address, so it must be a name.
fn slug_if_left(template: &Value) -> Option<String> {
    let is_left = template.get("delivered_by_clerk") == Some(&Value::Bool(false));
    let slug = Slug::new(template.get("slug").and_then(Value::as_str));
    slug.as_str().filter(|_| is_left).map(str::to_owned)
}

/// Clerk's API, for one queue message.
pub struct ClerkApi<'a, P> {
    ports: &'a P,
    access: &'a ClerkAccess,
}

impl<'a, P: Http + Clock> ClerkApi<'a, P> {
    pub fn new(ports: &'a P, access: &'a ClerkAccess) -> Self {
        Self { ports, access }
    }

    /// The slugs of the e-mail templates that Clerk does not deliver itself.
    ///
    /// # Errors
    /// Why Clerk did not say.
    pub async fn templates_left_to_others(&self) -> Result<Vec<String>, ApiError> {
        let mut left = Vec::new();
        for page in 0..PAGES_MAX {
            let offset = page.saturating_mul(PAGE);
            let path = format!("?limit={PAGE}&offset={offset}");
            let response = self.request(HttpMethod::Get, &path, None).await?;
            let Ok(Value::Array(templates)) = serde_json::from_str(&response.body) else {
                return Err(ApiError::Refused);
            };
            left.extend(templates.iter().filter_map(slug_if_left));
            if templates.len() < PAGE {
                break;
            }
        }
        Ok(left)
    }

    /// Has Clerk deliver the mails of a template itself. It may do so already.
    ///
    /// # Errors
    /// Why Clerk did not do it.
    pub async fn deliver_by_clerk(&self, slug: &str) -> Result<(), ApiError> {
        let path = format!("/{slug}/toggle_delivery");
        let body = r#"{"delivered_by_clerk":true}"#.to_owned();
        let response = self.request(HttpMethod::Post, &path, Some(body)).await?;
        let template: Value = serde_json::from_str(&response.body).unwrap_or_default();
        match template.get("delivered_by_clerk").and_then(Value::as_bool) {
            // It says of the template as it is now that it is not.
            Some(false) => Err(ApiError::Refused),
            Some(true) | None => Ok(()),
        }
    }

    async fn request(
        &self,
        method: HttpMethod,
        path: &str,
        body: Option<String>,
    ) -> Result<HttpResponse, ApiError> {
        let mut headers = vec![
            (
                "Authorization",
                format!("Bearer {}", self.access.key.reveal()),
            ),
            ("Accept", "application/json".to_owned()),
        ];
        if body.is_some() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        let request = HttpRequest {
            method,
            url: format!("{}/v1/templates/email{path}", self.access.base.as_str()),
            headers,
            body,
            when_late: WhenLate::Abort,
        };
        let response = self.ports.fetch(request, Some(TIMEOUT)).await;
        let response = response.map_err(|_| ApiError::Busy { retry_after: None })?;
        match error_of(&response) {
            None => Ok(response),
            Some(error) => Err(error),
        }
    }
}

fn error_of(response: &HttpResponse) -> Option<ApiError> {
    Some(match response.status {
        200 => return None,
        401 | 403 => ApiError::WrongKey,
        404 | 410 => ApiError::Gone,
        423 => ApiError::Locked,
        408 | 429 | 500..=599 => ApiError::Busy {
            retry_after: response
                .header("retry-after")
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
        },
        _ => ApiError::Refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_clerks_says_whether_to_try_again() {
        let error = |status, headers: &[(&str, &str)]| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            error_of(&HttpResponse {
                status,
                headers: headers.iter().map(owned).collect(),
                body: String::new(),
                is_truncated: false,
            })
        };
        let busy = |seconds: Option<u64>| {
            let retry_after = seconds.map(Duration::from_secs);
            Some(ApiError::Busy { retry_after })
        };
        for (status, expected) in [
            (200, None),
            (400, Some(ApiError::Refused)),
            (401, Some(ApiError::WrongKey)),
            (403, Some(ApiError::WrongKey)),
            (404, Some(ApiError::Gone)),
            (408, busy(None)),
            (410, Some(ApiError::Gone)),
            (422, Some(ApiError::Refused)),
            (423, Some(ApiError::Locked)),
            (429, busy(None)),
            (500, busy(None)),
            (503, busy(None)),
            (302, Some(ApiError::Refused)),
        ] {
            assert_eq!(error(status, &[]), expected, "{status}");
        }
        assert_eq!(error(429, &[("retry-after", "7")]), busy(Some(7)));
        assert_eq!(error(429, &[("retry-after", "soon")]), busy(None));
    }
}
