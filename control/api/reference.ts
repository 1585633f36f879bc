import { html, raw } from "hono/html";

/** A page that shows the OpenAPI document: no script or style from elsewhere, so it works on a network without internet. */
export function referencePage() {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Solaris API</title><style>${raw(style)}</style></head>
<body><nav id="nav" aria-label="Operations"></nav><main id="main"><p>Loading…</p></main>
<script>${raw(script)}</script></body></html>`;
}

const style = `
:root{color-scheme:light dark;--line:#8884}
body{margin:0;font:15px/1.5 system-ui,sans-serif;display:grid;grid-template-columns:17rem 1fr;min-height:100vh}
nav{padding:1rem;border-right:1px solid var(--line);position:sticky;top:0;height:100vh;overflow:auto;box-sizing:border-box}
nav a{display:block;text-decoration:none;color:inherit;padding:.1rem 0;font-size:.85rem}
nav h2{font-size:.8rem;text-transform:uppercase;letter-spacing:.05em;margin:1rem 0 .2rem}
main{padding:1rem 2rem;max-width:60rem;min-width:0}
section{border-top:1px solid var(--line);padding:1rem 0}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{overflow:auto;padding:.6rem;border:1px solid var(--line);border-radius:4px}
.m{display:inline-block;min-width:4.2rem;font-weight:600}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid var(--line)}
@media(max-width:50rem){body{grid-template-columns:1fr}nav{position:static;height:auto;border:0}}`;

const script = `
const el=(name,attrs={},...children)=>{const node=document.createElement(name);Object.assign(node,attrs);node.append(...children.filter(c=>c!=null));return node};
const resolve=(doc,schema)=>schema&&schema.$ref?schema.$ref.slice(2).split('/').reduce((at,key)=>at[key],doc):schema;
const inline=(doc,schema,depth=0)=>{schema=resolve(doc,schema);if(!schema||depth>8)return schema;if(Array.isArray(schema))return schema.map(s=>inline(doc,s,depth+1));if(typeof schema!=='object')return schema;return Object.fromEntries(Object.entries(schema).filter(([k])=>k!=='$schema').map(([k,v])=>[k,inline(doc,v,depth+1)]))};
const bodies=(doc,content)=>Object.entries(content||{}).map(([type,media])=>el('details',{},el('summary',{},type),el('pre',{},JSON.stringify(inline(doc,media.schema),null,2))));
fetch('openapi.json').then(r=>r.json()).then(doc=>{
const nav=document.getElementById('nav'),main=document.getElementById('main');main.replaceChildren(el('h1',{},doc.info.title+' '+doc.info.version),...doc.info.description.split('\\n\\n').map(p=>el('p',{},p)),el('p',{},el('a',{href:'openapi.json'},'OpenAPI document')));
const tags=new Map();
for(const [path,item] of Object.entries(doc.paths))for(const [method,op] of Object.entries(item)){const tag=(op.tags||['other'])[0];tags.set(tag,[...(tags.get(tag)||[]),{path,method,op}])}
for(const [tag,ops] of tags){nav.append(el('h2',{},tag));main.append(el('h2',{},tag));
for(const {path,method,op} of ops){const id=method+path.replace(/[^a-z0-9]+/gi,'-');nav.append(el('a',{href:'#'+id},op.summary||path));
const params=(op.parameters||[]).map(p=>resolve(doc,p));
main.append(el('section',{id},el('h3',{},op.summary||''),el('p',{},el('code',{},el('span',{className:'m'},method.toUpperCase()),path)),...(op.description||'').split('\\n\\n').map(p=>el('p',{},p)),
params.length?el('table',{},el('tbody',{},...params.map(p=>el('tr',{},el('td',{},el('code',{},p.name)),el('td',{},p.in+(p.required?', required':'')),el('td',{},p.schema&&(p.schema.type||'')))))):null,
op.requestBody?el('h4',{},'Body'):null,...bodies(doc,op.requestBody&&op.requestBody.content),el('h4',{},'Answers'),
...Object.entries(op.responses||{}).map(([status,r])=>el('div',{},el('p',{},el('strong',{},status),' '+(r.description||'')),...bodies(doc,r.content)))))}}
}).catch(error=>{document.getElementById('main').textContent='The document could not be read: '+error})`;
