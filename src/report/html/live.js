(()=>{
"use strict";
const pulse=document.getElementById("pulse");
const elapsed=since=>{
const s=Math.max(0,Math.floor((Date.now()-since)/1000)),two=n=>String(n).padStart(2,"0");
return s<60?s+" s":s<3600?Math.floor(s/60)+" min "+two(s%60)+" s":Math.floor(s/3600)+" h "+two(Math.floor(s/60)%60)+" min";
};
const tick=()=>{for(const one of document.querySelectorAll("[data-since]"))one.textContent=elapsed(+one.dataset.since)};
tick();
setInterval(tick,1000);
const keep=old=>{
const open=[...old.querySelectorAll("details[open][id]")].map(one=>one.id);
if(old.tagName==="DETAILS"&&old.open)open.push(old.id);
const fields=[...old.querySelectorAll("input[id],input[type=checkbox]")].map(one=>[one.id||one.value,one.value,one.checked]);
const active=old.contains(document.activeElement)?document.activeElement:null;
const graphs=[...old.querySelectorAll(".graph,.scroll")].map(one=>[one.scrollLeft,one.scrollTop]);
const place=active&&(active.id?"#"+CSS.escape(active.id):active.closest("[id]")&&"#"+CSS.escape(active.closest("[id]").id));
return now=>{
for(const id of open){const one=document.getElementById(id);if(one)one.open=true}
const later=new Map([...now.querySelectorAll("input[id],input[type=checkbox]")].map(one=>[one.id||one.value,one]));
for(const [key,value,checked] of fields){const one=later.get(key);if(one){if(one.type==="checkbox")one.checked=checked;else one.value=value}}
now.querySelectorAll(".graph,.scroll").forEach((one,at)=>{if(graphs[at])[one.scrollLeft,one.scrollTop]=graphs[at]});
if(place){
const found=document.querySelector(place);
if(found)(found.matches("a,input,summary,[tabindex]")?found:found.querySelector("a,input,summary")||found).focus({preventScroll:true});
}
};
};
const put=(id,html)=>{
const old=document.getElementById(id);
if(!old)return;
const restore=keep(old);
old.outerHTML=html;
const now=document.getElementById(id);
if(now)restore(now);
};
const changed=()=>{tick();dispatchEvent(new Event("page-changed"))};
let reading=false,again=false;
const read=async()=>{
if(reading){again=true;return}
reading=true;
try{
const answer=await fetch(location.href.split("#")[0],{cache:"no-store"});
if(answer.ok){
const page=new DOMParser().parseFromString(await answer.text(),"text/html");
const [x,y]=[scrollX,scrollY];
for(const id of ["page-head","page-sections","main","page-foot"]){
const from=page.getElementById(id);
if(from)put(id,from.outerHTML);
}
document.title=page.title;
if(!page.body.dataset.live)end();
scrollTo(x,y);
changed();
}
}catch{}
reading=false;
if(again){again=false;read()}
};
let source;
const end=()=>{if(source)source.close();source=null;pulse.textContent="";pulse.className=""};
if(!document.body.dataset.live)return;
source=new EventSource(document.body.dataset.live);
source.addEventListener("open",()=>{pulse.textContent="live";pulse.className="on"});
source.addEventListener("error",()=>{pulse.textContent="not connected: is stagewright ui still running?";pulse.className="off"});
source.addEventListener("pieces",event=>{for(const [id,html] of JSON.parse(event.data))put(id,html);changed()});
source.addEventListener("whole",read);
source.addEventListener("end",()=>{end();read()});
addEventListener("pagehide",()=>{if(source)source.close()});
})();
