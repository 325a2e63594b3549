/* A peer of `egret bench publish`: the same bytes again and again through the Paho C client (MQTTAsync), as fast as the broker takes them.
 * publish HOST:PORT FILE TOPIC QOS SECONDS; prints a JSON line. cc -O2 -o publish publish.c -lpaho-mqtt3a */
#include <MQTTAsync.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long done, connected;

static void count(long *what) {
    pthread_mutex_lock(&lock);
    ++*what;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}
static void on_connect(void *c, MQTTAsync_successData *d) { (void)c, (void)d; count(&connected); }
static void on_sent(void *c, MQTTAsync_successData *d) { (void)c, (void)d; count(&done); }
static void on_failure(void *c, MQTTAsync_failureData *d) { (void)c, (void)d; fprintf(stderr, "failed\n"); exit(1); }
static void wait_for(long *what, long least) {
    pthread_mutex_lock(&lock);
    while (*what < least) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    static char payload[1 << 20], address[300];
    FILE *file = fopen(argv[2], "rb");
    if (!file) return perror(argv[2]), 1;
    int length = (int)fread(payload, 1, sizeof payload, file), qos = atoi(argv[4]);
    fclose(file);
    double seconds = atof(argv[5]);
    snprintf(address, sizeof address, "tcp://%s", argv[1]);
    MQTTAsync client;
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.maxBufferedMessages = 1000;
    if (MQTTAsync_createWithOptions(&client, address, "peer-paho-c", MQTTCLIENT_PERSISTENCE_NONE, NULL, &create)) return 1;
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer;
    connect.maxInflight = 128;
    connect.onSuccess = on_connect;
    connect.onFailure = on_failure;
    if (MQTTAsync_connect(client, &connect)) return 1;
    wait_for(&connected, 1);
    double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    long sent = 0;
    while (now(CLOCK_MONOTONIC) < wall + seconds) {
        for (int i = 0; i < 32; i++, sent++) {
            MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
            response.onSuccess = on_sent;
            response.onFailure = on_failure;
            if (MQTTAsync_send(client, argv[3], length, payload, qos, 0, &response)) return 1;
        }
        wait_for(&done, sent - 100);
    }
    wait_for(&done, sent);
    wall = now(CLOCK_MONOTONIC) - wall, cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"peer\": \"paho C\", \"messages\": %ld, \"messages_per_s\": %.1f, \"bytes_per_message\": %d, \"cpu_us_per_message\": %.2f}\n",
           sent, sent / wall, length, cpu / sent * 1e6);
    return 0;
}
