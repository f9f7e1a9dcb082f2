//! The ids of an account's folders, resolved once an account.

use crate::{
    context::Context,
    model::{account::Folders, id::GrantId, time::HOUR},
    ports::Ports,
};

/// The account's folders: as remembered by the instance or the ledger, or read from Nylas. `None`: they are not known
/// now.
pub async fn folders<P: Ports>(context: &Context<'_, P>, account: &GrantId) -> Option<Folders> {
    let name = format!("folders:{}", account.as_str());
    let recalled = context.ports.recall(&name);
    if let Some(known) = recalled.and_then(|text| serde_json::from_str(&text).ok()) {
        return Some(known);
    }
    let known = match context.ledger.folders(account).await {
        Some(known) => known,
        None => {
            let read = context.nylas.folders(account).await?;
            if read == Folders::default() {
                // Every Agent Account has six, so such an answer is not remembered.
                return Some(read);
            }
            // Safe to lose: the next one then reads them from Nylas, too.
            let _ = context.ledger.put_folders(account, &read).await;
            read
        }
    };
    if let Ok(text) = serde_json::to_string(&known) {
        context.ports.remember(&name, &text, HOUR);
    }
    Some(known)
}
