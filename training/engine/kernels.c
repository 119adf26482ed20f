/* Attention of one decoding step, RMS norms and the drawing of tokens, in float32 on a CPU.

   Compiled on the machine where it runs, for one HEAD_DIM; kernels.py says how, and checks the results. Every value is
   computed by one thread in one order, so the number of threads changes no bit. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define D HEAD_DIM
#if defined(__AVX512F__) && D % 16 == 0
#define W 16
#elif defined(__AVX__) && D % 8 == 0
#define W 8
#else
#define W 4
#endif
#define PAIR (D % (2 * W) ? 1 : 2) /* vectors of a head that are computed together */

typedef float vec __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * W), aligned(4), may_alias));

#define TILE 16    /* tokens whose keys are stored together and transposed, so that no product is summed across a vector */
#define QUERIES 32 /* queries of one task, about */
#define STRIP 4    /* queries that share what is loaded */
#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float *x) { return *(const vec *)x; }
INLINE void store(float *x, vec v) { *(vec *)x = v; }
INLINE vec larger(vec a, vec b)
{
    ivec m = a > b;
    return (vec)((m & (ivec)a) | (~m & (ivec)b));
}

INLINE float sum_of(vec v)
{
    float x[W];
    memcpy(x, &v, sizeof x);
    for (int n = W / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            x[i] += x[i + n];
    return x[0];
}

INLINE float largest_of(vec v)
{
    float x[W];
    memcpy(x, &v, sizeof x);
    for (int n = W / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            x[i] = x[i] > x[i + n] ? x[i] : x[i + n];
    return x[0];
}

/* e to the power of x <= 0, to 2 ulp: 2^n times the Taylor polynomial of the rest, |rest| <= ln 2 / 2; 0 below -87. */
INLINE vec exp_of(vec x)
{
    const vec zero = {0};
    const ivec counts = x > zero - 87.0f;
    x = larger(x, zero - 87.0f);
    vec n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;
    vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    vec p = zero + 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return (vec)(counts & (ivec)(p * (vec)((__builtin_convertvector(n, ivec) + 127) << 23)));
}

struct attend {
    /* Rows are places x slots. qkv: [rows, (heads + 2 kv_heads) D]; out: [rows, heads D]. */
    int64_t places, slots, heads, kv_heads;
    const float *qkv;
    float *out;
    /* Gains of the norms of queries and keys, [heads + kv_heads, D], or NULL. */
    const float *head_norms;
    /* Of each position: cosines [D], the halves alike, and sines [D / 2]. */
    const float *cosines, *sines;
    /* Of each place the prompt's length, its keys [kv_heads, tiles, D, TILE], values [kv_heads, columns, D]; the number
       of tiles is even. */
    const int64_t *lengths;
    const float *prefix_keys, *prefix_values;
    int64_t tiles, columns;
    /* Own tokens, of which `step` are there, in blocks of sizes[b], multiples of TILE: keys [places, kv_heads, slots,
       size / TILE, D, TILE] and values [places, kv_heads, slots, size, D]. */
    float *const *keys, *const *values;
    const int64_t *sizes;
    int64_t step;
    float eps, scale;
    int32_t threads;
};

/* One head, normalised where there is a gain, rotated in halves and scaled. */
INLINE void ready(const float *x, const float *gain, const float *cosine, const float *sine, float eps, float scale,
                  float *out)
{
    float y[D];
    memcpy(y, x, sizeof y);
    if (gain) {
        vec squares = {0};
        for (int d = 0; d < D; d += W)
            squares += load(x + d) * load(x + d);
        const float r = 1.0f / sqrtf(sum_of(squares) / D + eps);
        for (int d = 0; d < D; d++)
            y[d] = x[d] * r * gain[d];
    }
    for (int d = 0; d < D / 2; d++) {
        out[d] = (y[d] * cosine[d] - y[d + D / 2] * sine[d]) * scale;
        out[d + D / 2] = (y[d + D / 2] * cosine[d] + y[d] * sine[d]) * scale;
    }
}

INLINE int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
INLINE int64_t slots_of_task(const struct attend *a) {
    const int64_t groups = a->heads / a->kv_heads, most = groups < QUERIES ? QUERIES / groups : 1;
    return most < a->slots ? most : a->slots;
}

/* Scores of one query, rounded up so that whole vectors can be written, and one number more. */
INLINE int64_t row_of_scores(const struct attend *a) { return a->tiles * TILE + round_up(a->step + 1, TILE) + TILE; }

/* Some slots of one place under one head of keys. */
INLINE void attend_task(const struct attend *a, int64_t task, float *memory)
{
    const int64_t G = a->heads / a->kv_heads, K = a->kv_heads, per = slots_of_task(a);
    const int64_t parts = (a->slots + per - 1) / per, unit = task / parts, first = task % parts * per;
    const int64_t place = unit / K, head = unit % K;
    const int64_t slots = a->slots - first < per ? a->slots - first : per, queries = slots * G;
    const int64_t length = a->lengths[place], position = length + a->step, own = a->step + 1;
    const int64_t width = row_of_scores(a), row_width = (a->heads + 2 * K) * D;
    float *q = memory, *mixed = q + round_up(per * G, STRIP) * D, *scores = mixed + round_up(per * G, STRIP) * D;
    const float *cosine = a->cosines + position * D, *sine = a->sines + position * (D / 2);

    int64_t last = 0, before = 0;
    while (before + a->sizes[last] < own)
        before += a->sizes[last++];
    for (int64_t s = 0; s < slots; s++) {
        const float *row = a->qkv + (place * a->slots + first + s) * row_width;
        const int64_t at = a->step - before, block = (unit * a->slots + first + s) * a->sizes[last] * D;
        float key[D], *column = a->keys[last] + block + at / TILE * TILE * D + at % TILE;
        const float *gain = a->head_norms;
        ready(row + (a->heads + head) * D, gain ? gain + (a->heads + head) * D : NULL, cosine, sine, a->eps, 1.0f, key);
        for (int d = 0; d < D; d++)
            column[d * TILE] = key[d];
        memcpy(a->values[last] + block + at * D, row + (a->heads + K + head) * D, D * sizeof(float));
        for (int64_t g = 0; g < G; g++)
            ready(row + (head * G + g) * D, gain ? gain + (head * G + g) * D : NULL, cosine, sine, a->eps, a->scale,
                  q + (s * G + g) * D);
    }
    memset(q + queries * D, 0, (round_up(queries, STRIP) - queries) * D * sizeof(float));

    for (int64_t t = 0; t < length; t += 2 * W) {
        const float *tile = a->prefix_keys + (unit * a->tiles + t / TILE) * D * TILE + t % TILE;
        const float *next = W == TILE ? tile + D * TILE : tile + W;
        for (int64_t i = 0; i < queries; i += STRIP) {
            vec c[STRIP][2] = {0};
            for (int d = 0; d < D; d++) {
                const vec k0 = load(tile + d * TILE), k1 = load(next + d * TILE);
                for (int j = 0; j < STRIP; j++) {
                    c[j][0] += q[(i + j) * D + d] * k0;
                    c[j][1] += q[(i + j) * D + d] * k1;
                }
            }
            for (int j = 0; j < STRIP; j++) {
                store(scores + (i + j) * width + t, c[j][0]);
                store(scores + (i + j) * width + t + W, c[j][1]);
            }
        }
    }
    for (int64_t s = 0; s < slots; s++) {
        float *score = scores + s * G * width + length;
        for (int64_t b = 0, t = 0; b <= last; t += a->sizes[b++]) {
            const int64_t used = b < last ? a->sizes[b] : own - t;
            const float *k = a->keys[b] + (unit * a->slots + first + s) * a->sizes[b] * D;
            for (int64_t u = 0; u < used; u += TILE, k += TILE * D)
                for (int64_t g = 0; g < G; g++) {
                    const float *query = q + (s * G + g) * D;
                    vec c[2][TILE / W] = {0};
                    for (int d = 0; d < D; d += 2)
                        for (int n = 0; n < TILE / W; n++) {
                            c[0][n] += query[d] * load(k + d * TILE + n * W);
                            c[1][n] += query[d + 1] * load(k + (d + 1) * TILE + n * W);
                        }
                    for (int n = 0; n < TILE / W; n++)
                        store(score + g * width + t + u + n * W, c[0][n] + c[1][n]);
                }
        }
    }

    const int64_t total = length + own;
    for (int64_t i = 0; i < queries; i++) {
        float *score = scores + i * width;
        for (int64_t t = total; t < round_up(total, W); t++)
            score[t] = -INFINITY;
        vec top = load(score), sum = {0};
        for (int64_t t = W; t < total; t += W)
            top = larger(top, load(score + t));
        const float most = largest_of(top);
        for (int64_t t = 0; t < total; t += W) {
            const vec e = exp_of(load(score + t) - most);
            store(score + t, e);
            sum += e;
        }
        score[width - 1] = 1.0f / sum_of(sum);
    }

    for (int64_t i = 0; i < queries; i += STRIP)
        for (int c = 0; c < D; c += PAIR * W) {
            vec o[STRIP][2] = {0};
            const float *v = a->prefix_values + unit * a->columns * D + c, *share = scores + i * width;
            for (int64_t t = 0; t < length; t++, v += D) {
                const vec v0 = load(v), v1 = PAIR == 2 ? load(v + W) : v0;
                for (int j = 0; j < STRIP; j++) {
                    o[j][0] += share[j * width + t] * v0;
                    if (PAIR == 2)
                        o[j][1] += share[j * width + t] * v1;
                }
            }
            for (int j = 0; j < STRIP; j++)
                for (int n = 0; n < PAIR; n++)
                    store(mixed + (i + j) * D + c + n * W, o[j][n]);
        }
    for (int64_t i = 0; i < queries; i++) {
        const int64_t s = i / G, g = i % G;
        const float *share = scores + i * width + length, scale = scores[i * width + width - 1];
        vec o[2][D / W];
        for (int n = 0; n < D / W; n++) {
            o[0][n] = load(mixed + i * D + n * W);
            o[1][n] = o[0][n] - o[0][n];
        }
        for (int64_t b = 0, t = 0; b <= last; t += a->sizes[b++]) {
            const int64_t used = b < last ? a->sizes[b] : own - t;
            const float *v = a->values[b] + (unit * a->slots + first + s) * a->sizes[b] * D;
            int64_t u = 0;
            for (; u + 2 <= used; u += 2)
                for (int n = 0; n < D / W; n++) {
                    o[0][n] += share[t + u] * load(v + u * D + n * W);
                    o[1][n] += share[t + u + 1] * load(v + (u + 1) * D + n * W);
                }
            for (; u < used; u++)
                for (int n = 0; n < D / W; n++)
                    o[0][n] += share[t + u] * load(v + u * D + n * W);
        }
        float *out = a->out + ((place * a->slots + first + s) * a->heads + head * G + g) * D;
        for (int n = 0; n < D / W; n++)
            store(out + n * W, (o[0][n] + o[1][n]) * scale);
    }
}

/* Append the keys and values of one token a row, and attend. Returns whether there was memory for it. */
int attend(const struct attend *a)
{
    const int64_t per = slots_of_task(a), tasks = a->places * a->kv_heads * ((a->slots + per - 1) / per);
    const int64_t queries = round_up(per * (a->heads / a->kv_heads), STRIP);
    const size_t floats = queries * (2 * D + row_of_scores(a));
    int enough = 1;
#pragma omp parallel num_threads(a->threads) if (a->threads > 1 && tasks > 1)
    {
        float *memory = aligned_alloc(64, round_up(floats * sizeof(float), 64));
        if (!memory)
            __atomic_store_n(&enough, 0, __ATOMIC_RELAXED);
#pragma omp for schedule(static)
        for (int64_t task = 0; task < tasks; task++)
            if (memory)
                attend_task(a, task, memory);
        free(memory);
    }
    return enough;
}

/* out = x / sqrt(mean(x^2) + eps) * gain, for each of `rows` rows of n numbers. */
void rms_norm(const float *x, const float *gain, float eps, float *out, int64_t rows, int64_t n)
{
    for (int64_t row = 0; row < rows; row++, x += n, out += n) {
        vec squares[2] = {0};
        float rest = 0;
        int64_t i = 0;
        for (; i + 2 * W <= n; i += 2 * W) {
            squares[0] += load(x + i) * load(x + i);
            squares[1] += load(x + i + W) * load(x + i + W);
        }
        for (; i < n; i++)
            rest += x[i] * x[i];
        const float r = 1.0f / sqrtf((sum_of(squares[0] + squares[1]) + rest) / n + eps);
        for (i = 0; i < n; i++)
            out[i] = x[i] * r * gain[i];
    }
}

/* One token for each row of `count` logits: by inverse CDF of softmax(logits / temperature), or the likeliest at
   temperature 0, where log-probability and entropy are those of temperature 1. Sums are of blocks of BLOCK tokens first.
   A token that adds nothing to the sum is never drawn. Returns whether there was memory for it. */
#define BLOCK 32
int draw(const float *logits, const float *uniforms, float temperature, int64_t rows, int64_t count, int32_t threads,
         int64_t *tokens, float *logprobs, float *entropies)
{
    const int64_t padded = round_up(count, BLOCK);
    const float inverse = temperature > 0 ? 1.0f / temperature : 1.0f;
    int enough = 1;
#pragma omp parallel num_threads(threads) if (threads > 1 && rows > 1)
    {
        float *z = aligned_alloc(64, round_up((2 * padded + padded / BLOCK) * sizeof(float), 64));
        float *e = z + padded, *sums = e + padded;
        if (!z)
            __atomic_store_n(&enough, 0, __ATOMIC_RELAXED);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; row++) {
            if (!z)
                continue;
            const float *x = logits + row * count;
            vec top = (vec){0} - INFINITY, mean = {0};
            int64_t i = 0, token = 0;
            for (; i + W <= count; i += W)
                top = larger(top, load(x + i));
            float most = largest_of(top);
            for (; i < count; i++)
                most = x[i] > most ? x[i] : most;
            for (i = 0; i < count; i++)
                z[i] = (x[i] - most) * inverse;
            for (; i < padded; i++)
                z[i] = -INFINITY;
            const vec floor = (vec){0} - 87.0f;
            float total = 0;
            for (int64_t b = 0; b < padded; b += BLOCK) {
                vec sum = {0};
                for (i = b; i < b + BLOCK; i += W) {
                    const vec v = larger(load(z + i), floor), value = exp_of(v);
                    store(e + i, value);
                    mean += value * v;
                    sum += value;
                }
                total += sums[b / BLOCK] = sum_of(sum);
            }
            if (temperature == 0)
                while (token + 1 < count && x[token] != most)
                    token++;
            else {
                const float below = nextafterf(total, 0), wanted = uniforms[row] * total;
                const float target = wanted < below ? wanted : below;
                float before = 0;
                int64_t b = 0;
                while ((b + 1) * BLOCK < padded && before + sums[b] <= target)
                    before += sums[b++];
                token = b * BLOCK;
                const int64_t end = token + BLOCK < count ? token + BLOCK : count;
                for (i = token; i < end; i++) {
                    if (before + e[i] > before)
                        token = i;
                    before += e[i];
                    if (before > target)
                        break;
                }
            }
            const float log_total = logf(total);
            tokens[row] = token;
            logprobs[row] = z[token] - log_total;
            entropies[row] = log_total - sum_of(mean) / total;
        }
        free(z);
    }
    return enough;
}
