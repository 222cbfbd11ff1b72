/** A promise and the means to settle it; later calls do nothing. (`Promise.withResolvers` comes with Node 22.) */
export class Deferred<T> {
  resolve: (value: T) => void = () => undefined;
  reject: (error: Error) => void = () => undefined;
  readonly promise = new Promise<T>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor() {
    // Whoever awaits it sees the rejection; nobody has to.
    this.promise.catch(() => undefined);
  }
}
