/* The article's training loop in plain C, one replica on one core: what the hardware can do.

   cc -O3 -march=native -ffast-math limit.c -o limit -lm && ./limit 20

   Prints one line an epoch: mean loss, microseconds per window. Sizes are compile-time constants
   (-DLAYERS=3 -DSTATE=4 …), so that the compiler can unroll every loop over them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef LAYERS
#define LAYERS 3
#endif
#ifndef STATE
#define STATE 4
#endif
enum { ROWS = 5, STEPS = 15, LENGTH = 50000, CLASSES = 2, ECHO = 3 };
enum { GATES = 4 * STATE, ROW = LENGTH / ROWS, WINDOWS = ROW / STEPS };

/* One layer's matrix is applied to [x, h, 1], x padded to STATE. */
enum { INPUTS = 2 * STATE + 1 };
typedef struct {
    float lstm[LAYERS][INPUTS][GATES];
    float dense[STATE + 1][CLASSES];
} Weights;

static Weights weights, gradient, accumulator;
static float bits[LENGTH];
static int labels[LENGTH];
static float c[LAYERS][STEPS + 1][ROWS][STATE], h[LAYERS][STEPS + 1][ROWS][STATE];
static float gate[LAYERS][STEPS][ROWS][GATES], tanh_c[LAYERS][STEPS][ROWS][STATE];
static float above[STEPS][ROWS][STATE]; /* gradient to the hidden states, from the layer above */

static float uniform(void) { return rand() / (float)RAND_MAX; }
static inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

static void initialise(void) {
    for (int l = 0; l < LAYERS; l++) {
        int inputs = l ? STATE : 1;
        float limit = sqrtf(6.0f / (inputs + STATE + GATES));
        for (int i = 0; i < 2 * STATE; i++)
            for (int j = 0; j < GATES; j++)
                weights.lstm[l][i][j] = (i < inputs || i >= STATE) ? (2 * uniform() - 1) * limit : 0;
        for (int j = STATE; j < 2 * STATE; j++) weights.lstm[l][2 * STATE][j] = 1;
    }
    for (int i = 0; i < STATE; i++)
        for (int k = 0; k < CLASSES; k++) weights.dense[i][k] = uniform();
    float *a = (float *)&accumulator;
    for (size_t i = 0; i < sizeof accumulator / sizeof *a; i++) a[i] = 0.1f;
}

static void draw_series(void) {
    for (int t = 0; t < LENGTH; t++) bits[t] = rand() & 1;
    for (int t = 0; t < LENGTH; t++) labels[t] = t < ECHO ? 0 : (int)bits[t - ECHO];
}

static void read_inputs(int l, int t, int n, int window, float x[STATE]) {
    for (int i = 0; i < STATE; i++) x[i] = l ? h[l - 1][t + 1][n][i] : 0;
    if (l == 0) x[0] = bits[n * ROW + window * STEPS + t];
}

static void forward(int window) {
    for (int l = 0; l < LAYERS; l++)
        for (int t = 0; t < STEPS; t++)
            for (int n = 0; n < ROWS; n++) {
                float x[STATE], z[GATES], *g = gate[l][t][n];
                read_inputs(l, t, n, window, x);
                memcpy(z, weights.lstm[l][2 * STATE], sizeof z);
                int used = l ? STATE : 1;
                for (int i = 0; i < used; i++)
                    for (int j = 0; j < GATES; j++) z[j] += x[i] * weights.lstm[l][i][j];
                for (int i = 0; i < STATE; i++)
                    for (int j = 0; j < GATES; j++)
                        z[j] += h[l][t][n][i] * weights.lstm[l][STATE + i][j];
                for (int j = 0; j < GATES; j++) {
                    int tanh_gate = j >= 2 * STATE && j < 3 * STATE;
                    float s = sigmoid(tanh_gate ? 2 * z[j] : z[j]);
                    g[j] = tanh_gate ? 2 * s - 1 : s;
                }
                for (int k = 0; k < STATE; k++) {
                    float cell = g[STATE + k] * c[l][t][n][k] + g[k] * g[2 * STATE + k];
                    c[l][t + 1][n][k] = cell;
                    tanh_c[l][t][n][k] = 2 * sigmoid(2 * cell) - 1;
                    h[l][t + 1][n][k] = g[3 * STATE + k] * tanh_c[l][t][n][k];
                }
            }
}

static float softmax_and_gradient(int window) {
    float loss = 0;
    for (int t = 0; t < STEPS; t++)
        for (int n = 0; n < ROWS; n++) {
            float p[CLASSES], total = 0, *top = h[LAYERS - 1][t + 1][n];
            int label = labels[n * ROW + window * STEPS + t];
            for (int k = 0; k < CLASSES; k++) {
                float logit = weights.dense[STATE][k];
                for (int i = 0; i < STATE; i++) logit += top[i] * weights.dense[i][k];
                total += p[k] = expf(logit);
            }
            loss -= logf(p[label] / total);
            memset(above[t][n], 0, sizeof above[t][n]);
            for (int k = 0; k < CLASSES; k++) {
                float d = (p[k] / total - (k == label)) / (STEPS * ROWS);
                gradient.dense[STATE][k] += d;
                for (int i = 0; i < STATE; i++) {
                    gradient.dense[i][k] += top[i] * d;
                    above[t][n][i] += weights.dense[i][k] * d;
                }
            }
        }
    return loss / (STEPS * ROWS);
}

static void backward(int window) {
    for (int l = LAYERS - 1; l >= 0; l--) {
        float dh[ROWS][STATE] = {0}, dc[ROWS][STATE] = {0};
        for (int t = STEPS - 1; t >= 0; t--)
            for (int n = 0; n < ROWS; n++) {
                float dz[GATES], x[STATE], *g = gate[l][t][n];
                for (int k = 0; k < STATE; k++) {
                    float d = above[t][n][k] + dh[n][k], th = tanh_c[l][t][n][k];
                    float i = g[k], f = g[STATE + k], u = g[2 * STATE + k], o = g[3 * STATE + k];
                    float cell = dc[n][k] + d * o * (1 - th * th);
                    dz[k] = cell * u * i * (1 - i);
                    dz[STATE + k] = cell * c[l][t][n][k] * f * (1 - f);
                    dz[2 * STATE + k] = cell * i * (1 - u * u);
                    dz[3 * STATE + k] = d * th * o * (1 - o);
                    dc[n][k] = cell * f;
                }
                for (int j = 0; j < GATES; j++) gradient.lstm[l][2 * STATE][j] += dz[j];
                read_inputs(l, t, n, window, x);
                int used = l ? STATE : 1;
                for (int i = 0; i < used; i++) {
                    float below = 0;
                    for (int j = 0; j < GATES; j++) {
                        gradient.lstm[l][i][j] += x[i] * dz[j];
                        below += weights.lstm[l][i][j] * dz[j];
                    }
                    if (l) above[t][n][i] = below; /* its old value has been used */
                }
                for (int i = 0; i < STATE; i++) {
                    float before = 0;
                    for (int j = 0; j < GATES; j++) {
                        gradient.lstm[l][STATE + i][j] += h[l][t][n][i] * dz[j];
                        before += weights.lstm[l][STATE + i][j] * dz[j];
                    }
                    dh[n][i] = before;
                }
            }
    }
}

static void adagrad(void) {
    float *w = (float *)&weights, *g = (float *)&gradient, *a = (float *)&accumulator;
    for (size_t i = 0; i < sizeof weights / sizeof *w; i++) {
        a[i] += g[i] * g[i];
        w[i] -= 0.3f * g[i] / sqrtf(a[i]);
    }
    memset(&gradient, 0, sizeof gradient);
}

int main(int count, char **arguments) {
    int epochs = count > 1 ? atoi(arguments[1]) : 20;
    srand(1);
    initialise();
    for (int epoch = 1; epoch <= epochs; epoch++) {
        struct timespec begin, end;
        double loss = 0;
        draw_series();
        for (int l = 0; l < LAYERS; l++) {
            memset(c[l][STEPS], 0, sizeof c[l][STEPS]);
            memset(h[l][STEPS], 0, sizeof h[l][STEPS]);
        }
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (int window = 0; window < WINDOWS; window++) {
            for (int l = 0; l < LAYERS; l++) {
                memcpy(c[l][0], c[l][STEPS], sizeof c[l][0]);
                memcpy(h[l][0], h[l][STEPS], sizeof h[l][0]);
            }
            forward(window);
            loss += softmax_and_gradient(window);
            backward(window);
            adagrad();
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        double seconds = end.tv_sec - begin.tv_sec + 1e-9 * (end.tv_nsec - begin.tv_nsec);
        printf("%d %.6f %.3f\n", epoch, loss / WINDOWS, seconds / WINDOWS * 1e6);
    }
    return 0;
}
