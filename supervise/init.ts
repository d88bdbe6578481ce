// Process 1 of a PID namespace inherits every orphan in it, and has to wait for each when it ends. Node can wait only for
// what it started itself, so an init is needed where the application leaves orphans.

/** A warning for the operator if `pillion run` is process 1, or undefined if it is not. */
export function orphansWarning(pid: number): string | undefined {
  if (pid !== 1) return undefined
  return 'the sidecar is process 1 here, and cannot reap orphans of the application, which stay as zombies when they end; put an init before it (docker run --init, compose: init: true, Kubernetes: shareProcessNamespace: true)'
}
