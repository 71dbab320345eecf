/**
 * Where an object of a bucket is in HTTP's terms.
 *
 *     https://BUCKET.s3.REGION.amazonaws.com/KEY      Amazon's own, virtual-hosted style
 *     ENDPOINT/BUCKET/KEY                             path style: with an endpoint, or a bucket with dots, which no certificate covers
 */
export interface S3Place {
  readonly url: string
  readonly endpoint: string | undefined
  readonly region: string
  readonly pathStyle: boolean | undefined
}

export const s3Address = ({ url, endpoint, region, pathStyle }: S3Place): URL => {
  const { hostname: bucket, pathname } = new URL(url)
  const key = pathname
    .slice(1)
    .split("/")
    .map((segment) => encodeURIComponent(decodeURIComponent(segment)))
    .join("/")
  const base = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`)
  const root = base.pathname.replace(/\/$/, "")
  if (pathStyle ?? (endpoint !== undefined || bucket.includes(".")))
    return new URL(`${base.origin}${root}/${bucket}/${key}`)
  return new URL(`${base.protocol}//${bucket}.${base.host}${root}/${key}`)
}
