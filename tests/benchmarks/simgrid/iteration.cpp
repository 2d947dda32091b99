// How long does SimGrid's engine need to play an iteration? An actor per rank runs the rank's program.
//
//   g++ -O3 -march=native iteration.cpp -lsimgrid -o iteration
//   iteration ROUNDS < programs
//
// Input: how many ranks, flop per second, bytes per second of each direction of a NIC, seconds of latency. Then the
// programs: "rank", and a line for each of its tasks: "compute FLOP", "send TO BYTES BOX", "receive BOX". A message is on
// its way as soon as it is sent; its box holds it until it is received.
// Output: simulated seconds of an iteration; then for each round the seconds that the engine ran.
//
// Actors are the leanest way: activities that wait for each other without actors take three times as long.

#include <chrono>
#include <deque>
#include <iostream>
#include <simgrid/s4u.hpp>
#include <string>
#include <vector>

namespace sg4 = simgrid::s4u;

struct Task {
  enum { COMPUTE, SEND, RECEIVE } what;
  double amount;
  sg4::Mailbox* box;
};
using Program = std::vector<Task>;

static std::vector<Program> read_programs()
{
  std::vector<Program> programs;
  for (std::string what, box; std::cin >> what;) {
    double amount = 0;
    int to;
    if (what == "rank") {
      programs.emplace_back();
    } else if (what == "compute") {
      std::cin >> amount;
      programs.back().push_back({Task::COMPUTE, amount, nullptr});
    } else if (what == "send") {
      std::cin >> to >> amount >> box;
      programs.back().push_back({Task::SEND, amount, sg4::Mailbox::by_name(box)});
    } else {
      std::cin >> box;
      programs.back().push_back({Task::RECEIVE, 0, sg4::Mailbox::by_name(box)});
    }
  }
  return programs;
}

static std::vector<sg4::Host*> make_hosts(std::size_t count, double flop_per_s, double bytes_per_s, double latency_s)
{
  auto* zone = sg4::create_full_zone("all");
  std::vector<sg4::Host*> hosts;
  std::vector<sg4::Link*> transmit;
  std::vector<sg4::Link*> receive;
  for (std::size_t i = 0; i < count; i++) {
    const auto name = std::to_string(i);
    hosts.push_back(zone->create_host(name, flop_per_s)->seal());
    transmit.push_back(zone->create_link("transmit" + name, bytes_per_s)->set_latency(latency_s / 2)->seal());
    receive.push_back(zone->create_link("receive" + name, bytes_per_s)->set_latency(latency_s / 2)->seal());
  }
  for (std::size_t i = 0; i < count; i++)
    for (std::size_t j = 0; j < count; j++)
      if (i != j)
        zone->add_route(hosts[i]->get_netpoint(), hosts[j]->get_netpoint(), nullptr, nullptr,
                        {sg4::LinkInRoute(transmit[i]), sg4::LinkInRoute(receive[j])}, false);
  zone->seal();
  return hosts;
}

static void run(const Program* program)
{
  static int payload; // never read
  for (const auto& task : *program) {
    if (task.what == Task::COMPUTE)
      sg4::this_actor::execute(task.amount);
    else if (task.what == Task::SEND)
      task.box->put_init(&payload, static_cast<uint64_t>(task.amount))->detach();
    else
      task.box->get<int>();
  }
}

int main(int argc, char** argv)
{
  sg4::Engine engine(&argc, argv);
  // As our own model of a NIC: its whole rate, the latency once, nothing for the way back.
  for (const char* setting : {"network/model:CM02", "network/bandwidth-factor:1", "network/latency-factor:1",
                              "network/weight-S:0", "network/crosstraffic:0", "network/TCP-gamma:0"})
    sg4::Engine::set_config(setting);
  std::size_t count;
  double flop_per_s;
  double bytes_per_s;
  double latency_s;
  std::cin >> count >> flop_per_s >> bytes_per_s >> latency_s;
  const auto hosts    = make_hosts(count, flop_per_s, bytes_per_s, latency_s);
  const auto programs = read_programs();
  std::cout.precision(17);
  for (int round = 0; round < std::stoi(argv[1]); round++) {
    for (std::size_t rank = 0; rank < count; rank++) {
      const auto actor = sg4::Actor::create("rank", hosts[rank], run, &programs[rank]);
      for (const auto& task : programs[rank])
        if (task.what == Task::RECEIVE)
          task.box->set_receiver(actor); // so that bytes flow before anybody asks for them
    }
    const double began_s = sg4::Engine::get_clock();
    const auto start     = std::chrono::steady_clock::now();
    engine.run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (round == 0)
      std::cout << sg4::Engine::get_clock() - began_s << std::endl;
    std::cout << took.count() << std::endl;
  }
}
