import { faultsOf, runSeed } from "./simulation.ts";
const from=Number(process.argv[2]??1), to=Number(process.argv[3]??from);
const trace = process.argv.includes("--trace");
let t=performance.now(); const fails=new Map<string,number[]>(); let simMs=0, ev=0;
for(let s=from;s<=to;s++){ const r=runSeed({seed:s, ...(process.argv.includes("--nofaults")?{faults:[]}:{}), ...(trace?{print:(l:string)=>console.log(l)}:{})}); simMs+=r.simulatedMs; ev+=r.events;
 if(r.failure){ const k=r.failure.checker+": "+r.failure.message.slice(0,from===to?5000:160); fails.set(k,[...(fails.get(k)??[]),s]); } }
for(const [k,v] of fails) console.log(v.length, v.slice(0,5).join(","), k);
console.log(`${to-from+1} seeds ${((performance.now()-t)/1000).toFixed(1)}s, sim ${(simMs/1000).toFixed(0)}s, events ${ev}, failed ${[...fails.values()].flat().length}`);
