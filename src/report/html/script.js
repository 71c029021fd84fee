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
for(const field of document.querySelectorAll("input.filter")){
const rows=document.querySelectorAll("#"+field.dataset.of+" [data-name]");
field.hidden=false;
field.addEventListener("input",()=>{
const word=field.value.toLowerCase();
for(const row of rows)row.hidden=!row.dataset.name.toLowerCase().includes(word);
});
}
for(const graph of document.querySelectorAll(".graph svg")){
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
let opened=[];
addEventListener("beforeprint",()=>{
opened=[...document.querySelectorAll("details:not([open])")];
for(const one of opened)one.open=true;
});
addEventListener("afterprint",()=>{
for(const one of opened)one.open=false;
});
})();
