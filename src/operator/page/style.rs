//! The page's style. The policy names it by its hash, so that no other is applied.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

/// Forbids everything that the page does not need: scripts, above all, and requests.
pub fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

pub const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--card:#f5f6f8;--line:#d5d9e0;--text:#1b1f27;--dim:#5b6472;--link:#0b57c9;\
--good:#14753c;--wait:#8f5b00;--bad:#b3261e;--other:#5b6472}\
@media(prefers-color-scheme:dark){:root{--back:#14171c;--card:#1d2128;--line:#343b46;--text:#e6e9ee;--dim:#9aa4b2;\
--link:#8ab8ff;--good:#5fd08a;--wait:#f0b955;--bad:#ff8a80;--other:#9aa4b2}}\
*{box-sizing:border-box}\
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:72em;padding:0 1em 3em;background:var(--back);\
color:var(--text)}\
a{color:var(--link)}\
:focus-visible{outline:2px solid var(--link);outline-offset:2px}\
header,nav,.row{display:flex;flex-wrap:wrap;gap:.3em 1em;align-items:center}\
header{padding:.8em 0;border-bottom:1px solid var(--line);margin-bottom:1em;justify-content:space-between}\
h1{font-size:1.15em;margin:0}h1 a{color:inherit;text-decoration:none}\
h2{font-size:1.05em;margin:1.8em 0 .5em}main>h2:first-child{margin-top:0}.one{white-space:nowrap}\
nav [aria-current]{color:var(--text);font-weight:600;text-decoration:none}\
nav.filter{margin:.3em 0;gap:.2em .9em}nav.filter b{font-weight:400;color:var(--dim);min-width:5em}\
input,button{font:inherit;padding:.3em .6em;border:1px solid var(--line);border-radius:5px;background:var(--back);\
color:inherit;min-width:0}\
button{background:var(--card);cursor:pointer}button:hover{border-color:var(--link)}\
form{display:inline-flex;flex-wrap:wrap;gap:.4em;align-items:center;margin:0}\
label,::placeholder{color:var(--dim)}\
.dim,caption,figcaption,small,dt{color:var(--dim)}\
.strip{border:1px solid var(--line);border-left:6px solid;border-radius:6px;padding:.7em 1em;background:var(--card);\
margin-bottom:1em}\
.strip ul{margin:.3em 0 0;padding:0;list-style:none}.strip li{padding:.15em 0}\
.strip.good{border-left-color:var(--good)}.strip.wait{border-left-color:var(--wait)}\
.strip.bad{border-left-color:var(--bad)}\
.state{white-space:nowrap;font-weight:600}\
.state.good{color:var(--good)}.state.wait{color:var(--wait)}.state.bad{color:var(--bad)}\
.state.other{color:var(--other)}\
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25em),1fr));gap:1em}\
figure{margin:0;padding:.7em .8em;background:var(--card);border:1px solid var(--line);border-radius:6px;min-width:0}\
svg{width:100%;height:auto;display:block}figcaption{margin-top:.3em}\
svg.key{display:inline-block;width:1.1em;height:.9em;vertical-align:-.1em}\
svg text{fill:var(--dim);font-size:115px}\
svg line{stroke:var(--line);stroke-width:8}\
.good-f{fill:var(--good)}.line{fill:none;stroke:var(--text);stroke-width:16}\
.bar{stroke-width:14}.bar.good{fill:var(--good);stroke:var(--good)}.bar.wait{stroke:var(--wait)}\
.bar.bad{stroke:var(--bad)}.bar.other{fill:none;stroke:var(--other)}\
.ink-wait{stroke:var(--wait);stroke-width:36}.ink-bad{stroke:var(--bad);stroke-width:22}\
.p50{fill:var(--text)}.p95{fill:var(--card);stroke:var(--text);stroke-width:16}.dash{stroke-dasharray:44 34}\
table{border-collapse:collapse;width:100%}\
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}\
th{font-weight:400;color:var(--dim);text-align:left}\
td,th{padding:.35em .9em .35em 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:break-word}\
td.n,th.n{text-align:right}\
small{display:block}.id,code{font-family:ui-monospace,monospace;font-size:.92em}code{overflow-wrap:anywhere}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25em 1.2em;margin:.8em 0}\
dd{margin:0;overflow-wrap:anywhere}\
ol.time{list-style:none;margin:.5em 0;padding:0 0 0 .4em}\
ol.time li{position:relative;border-left:2px solid var(--line);padding:0 0 .9em 1.2em}\
ol.time li:before{content:'';position:absolute;left:-7px;top:.35em;width:8px;height:8px;border-radius:50%;\
border:2px solid var(--text);background:var(--back)}\
ol.time li.next{border-left-style:dashed}ol.time li:last-child{border-color:transparent;padding-bottom:0}\
.empty{color:var(--dim);background:var(--card);border:1px dashed var(--line);border-radius:6px;padding:1em}\
details summary{cursor:pointer;color:var(--dim);margin-top:.4em}\
@media(max-width:42em){thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}\
table,tbody,tr{display:block}tr{border-bottom:1px solid var(--line);padding:.45em 0;display:grid;\
grid-template-columns:1fr fit-content(50%);gap:.1em 1em}\
td{display:block;border:0;padding:0;overflow-wrap:anywhere;min-width:0}\
td[data-l]:not([data-l='']):before{content:attr(data-l) ' ';color:var(--dim)}\
td.n{text-align:left}dl{grid-template-columns:1fr}dd{margin-bottom:.5em}\
details tr{grid-template-columns:1fr 1fr 1fr}header form{width:100%}header form input{flex:1}}\
@media print{nav,form,button{display:none}}";
