(()=>{
"use strict";
const show=()=>{
const target=document.getElementById(decodeURIComponent(location.hash.slice(1)));
if(!target)return;
for(let at=target;at;at=at.parentElement)if(at.tagName==="DETAILS")at.open=true;
target.scrollIntoView();
const to=target.querySelector("summary")||target;
to.focus({preventScroll:true});
};
addEventListener("hashchange",show);
if(location.hash)show();
document.addEventListener("click",event=>{
const link=event.target.closest&&event.target.closest("a[href^='#']");
if(link&&link.getAttribute("href")===location.hash)show();
});
const sift=field=>{
const word=field.value.toLowerCase();
let any=false;
for(const row of document.querySelectorAll("#"+field.dataset.of+" [data-name]")){
row.hidden=!row.dataset.name.toLowerCase().includes(word);
any=any||!row.hidden;
}
const none=field.closest("section")&&field.closest("section").querySelector(".none");
if(none)none.hidden=any;
};
document.addEventListener("input",event=>{if(event.target.matches("input.filter"))sift(event.target)});
const wire=()=>{
for(const field of document.querySelectorAll("input.filter")){
field.hidden=false;
sift(field);
}
for(const graph of document.querySelectorAll(".graph svg:not(.wired)")){
graph.classList.add("wired");
const edges=new Map();
for(const edge of graph.querySelectorAll(".edge"))for(const end of [edge.dataset.a,edge.dataset.b]){
if(!edges.has(end))edges.set(end,[]);
edges.get(end).push(edge);
}
let lit=[];
const light=event=>{
const at=event&&event.target.closest(".node");
const node=at||(document.activeElement&&document.activeElement.closest(".node"));
for(const edge of lit)edge.classList.remove("on");
lit=node?edges.get(node.dataset.s)||[]:[];
for(const edge of lit)edge.classList.add("on");
graph.classList.toggle("near",lit.length>0);
};
graph.addEventListener("pointerover",light);
graph.addEventListener("focusin",light);
graph.addEventListener("pointerleave",()=>light());
graph.addEventListener("focusout",()=>light());
}
};
wire();
addEventListener("page-changed",wire);
let opened=[];
addEventListener("beforeprint",()=>{
opened=[...document.querySelectorAll("details:not([open])")];
for(const one of opened)one.open=true;
});
addEventListener("afterprint",()=>{
for(const one of opened)one.open=false;
});
})();
