// What several views share, and data that is fetched again and again.

import { useCallback, useEffect, useState } from "preact/hooks";

import { Problem, token } from "./api";

export interface Signal<T> {
  value: T;
  subscribe(listener: () => void): () => void;
}

/** A value that tells its readers when it changes. */
export function signal<T>(initial: T): Signal<T> {
  let current = initial;
  const listeners = new Set<() => void>();
  return {
    get value() {
      return current;
    },
    set value(next: T) {
      if (next === current) return;
      current = next;
      listeners.forEach((listener) => listener());
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export function useSignal<T>(source: Signal<T>): T {
  const [, turn] = useState(0);
  useEffect(() => source.subscribe(() => turn((n) => n + 1)), [source]);
  return source.value;
}

/** Whether the sidecar asked for a token that it was not given. */
export const tokenNeeded = signal(false);

export interface Fetched<T> {
  value?: T;
  problem?: string;
  again: () => void;
}

/** Fetches now, again every so many milliseconds while the page is seen, and when the token changes. */
export function useFetched<T>(fetch: () => Promise<T>, everyMs?: number, paused = false): Fetched<T> {
  const [state, set] = useState<{ value?: T; problem?: string }>({});
  const given = useSignal(token);
  const load = useCallback(async () => {
    try {
      const value = await fetch();
      set({ value });
    } catch (error) {
      if (error instanceof Problem && error.status === 401) tokenNeeded.value = true;
      set((before) => ({ ...before, problem: error instanceof Error ? error.message : String(error) }));
    }
  }, [fetch, given]);
  useEffect(() => {
    if (paused) return;
    void load();
    if (!everyMs) return;
    const timer = setInterval(() => document.hidden || void load(), everyMs);
    return () => clearInterval(timer);
  }, [load, everyMs, paused]);
  return { ...state, again: () => void load() };
}

/** The width of an element as it changes, in CSS pixels. */
export function useWidth(): [number, (element: Element | null) => void] {
  const [width, set] = useState(0);
  const [element, place] = useState<Element | null>(null);
  useEffect(() => {
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => entry && set(Math.round(entry.contentRect.width)));
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return [width, place];
}
