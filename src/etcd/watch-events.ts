import { emptyBytes } from "../base/bytes.ts";
import type { WatchBatch } from "../service/service.ts";
import { type Event, Event_EventType as EventType } from "./gen/mvcc_pb.ts";
import type { WatchResponse } from "./gen/watch_pb.ts";
import { keyValueMessage } from "./messages.ts";

/** What an event takes in a message beside its keys and values, at most. */
const eventOverheadBytes = 96;

/** Watches of one range are given the same batch: its messages are made once. */
const told = new WeakMap<WatchBatch, Event[]>();

export function eventsOf(batch: WatchBatch): Event[] {
  let events = told.get(batch);
  if (events === undefined) {
    events = batch.events.map(eventMessage);
    told.set(batch, events);
  }
  return events;
}

function eventMessage({ type, keyValue, previous }: WatchBatch["events"][number]): Event {
  const kv = keyValueMessage(keyValue);
  return {
    $typeName: "mvccpb.Event",
    type: type === "put" ? EventType.PUT : EventType.DELETE,
    // Of a deleted key nothing is told but the key and when.
    kv: type === "put" ? kv : { ...kv, createRevision: 0n, version: 0n, lease: 0n, value: emptyBytes },
    ...(previous !== undefined && { prevKv: keyValueMessage(previous) }),
  };
}

export function eventBytes({ kv, prevKv }: Event): number {
  let bytes = eventOverheadBytes + (kv?.key.length ?? 0) + (kv?.value.length ?? 0);
  if (prevKv !== undefined) bytes += prevKv.key.length + prevKv.value.length;
  return bytes;
}

/** A message in pieces of at most so many bytes (one larger event goes alone); all but the last say that more follows. */
export function fragmentsOf(message: WatchResponse, bytesMax: number): WatchResponse[] {
  const pieces: Event[][] = [[]];
  let bytes = 0;
  for (const event of message.events) {
    const size = eventBytes(event);
    if (bytes > 0 && bytes + size > bytesMax) {
      pieces.push([]);
      bytes = 0;
    }
    pieces.at(-1)?.push(event);
    bytes += size;
  }
  return pieces.map((events, index) => ({ ...message, events, fragment: index < pieces.length - 1 }));
}
