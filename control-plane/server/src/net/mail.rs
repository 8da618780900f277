//! Mail: invitations and notices, over SMTP with TLS.

use doorward_domain::Principal;
use doorward_model::Timestamp;
use lettre::message::{Mailbox, header::ContentType};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::ControlPlaneError;
use crate::config::MailSection;

/// How long one mail may take: whoever invites waits for it.
const SEND_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// A mail was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    /// An address or a text that mail cannot carry.
    #[error("mail cannot carry it")]
    Message(#[from] lettre::error::Error),
    /// An address that mail does not know.
    #[error("their address cannot be mailed to")]
    Address(#[from] lettre::address::AddressError),
    /// The mail server refused or does not answer.
    #[error("the mail server refused or does not answer")]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// It took too long.
    #[error("the mail server did not answer in time")]
    Timeout,
}

impl MailError {
    /// Says why in one line, for the status; the sentence and what the server said.
    pub(crate) fn reason(&self) -> String {
        let said = std::error::Error::source(self).map(|source| format!(": {source}"));
        let text = format!("{self}{}", said.unwrap_or_default());
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// Says whether the server is at fault, and not this one mail.
    pub(crate) fn is_of_the_server(&self) -> bool {
        match self {
            Self::Timeout => true,
            Self::Smtp(error) => !error.is_permanent(),
            Self::Message(_) | Self::Address(_) => false,
        }
    }
}

/// Sends mail.
pub(crate) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mail {
    /// Reads `[mail]`; nothing is mailed without it.
    pub(crate) fn new(section: &MailSection) -> Result<Option<Self>, ControlPlaneError> {
        let Some(url) = &section.url else { return Ok(None) };
        let from =
            section.from.as_deref().unwrap_or_default().parse().map_err(|error: lettre::address::AddressError| {
                ControlPlaneError::Config(format!(
                    "`[mail] from` is no sender ({error}): write Doorward <door@shop.example>"
                ))
            })?;
        // The URL may hold a password, so that it is in no message.
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|_| {
            ControlPlaneError::Config(
                "`[mail] url` cannot be used: write smtps://USER:PASSWORD@HOST or smtp://USER:PASSWORD@HOST:587?tls=required"
                    .to_owned(),
            )
        })?;
        Ok(Some(Self { transport: transport.timeout(Some(SEND_TIMEOUT)).build(), from }))
    }

    /// Mails an invitation.
    pub(crate) async fn invite(&self, person: &Principal, url: &str, expires_at: Timestamp) -> Result<(), MailError> {
        let until = expires_at.strftime("%Y-%m-%d %H:%M UTC");
        let body = format!(
            "Hello {},\n\nyou are invited to Doorward, the door to your team's internal systems.\n\n\
             Open this link to set up your sign-in and a device:\n\n{url}\n\n\
             It works once, until {until}. If you did not expect it, leave it alone and tell your admin.\n",
            person.name
        );
        self.send(person, "Your invitation to Doorward", body).await
    }

    /// Mails a text to somebody.
    pub(crate) async fn send(&self, person: &Principal, subject: &str, body: String) -> Result<(), MailError> {
        let to = Mailbox::new(Some(person.name.to_string()), person.email.as_str().parse()?);
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(body)?;
        let sending = tokio::time::timeout(SEND_TIMEOUT, self.transport.send(message));
        sending.await.map_err(|_| MailError::Timeout)??;
        Ok(())
    }
}
