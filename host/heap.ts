// The growth of the heap after which all of it is collected.

/**
 * The chunks of a body are memory outside of the heap. For a heap as small as ours V8 collects all of it for each 8 MiB of
 * them, which the young generation would have given back soon anyway. From now on the heap may treble before: that is 1.3
 * times the spans in the same time at 512 a request, over both protocols, and 4 MiB more under load (bench rows intake-http,
 * intake-grpc, memory). Set from the start it would cost 3 to 6 MiB at rest too, so it waits for the first large body. V8
 * reads this flag anew after each collection.
 */
export function letHeapGrow(): void {
  process.getBuiltinModule('node:v8').setFlagsFromString('--heap-growing-percent=200')
}
