// An exported graph in C++, with OpenVINO: a picture of any size in; score, verdict and place out.
//
//   blemish export part.blemish -o part.onnx --any-size --images GOOD_DIR
//   OV=$(python -c "import openvino; print(openvino.__path__[0])")
//   g++ -std=c++17 -O2 judge.cpp -I$OV/include $OV/libs/libopenvino.so.* -Wl,-rpath,$OV/libs -o judge
//   ./judge part.onnx part.ppm DEFECT UNSURE
//
// DEFECT and UNSURE are the limits that `blemish info part.onnx` shows. The picture is a binary PPM
// (P6, 8 bits); of a camera, `pixels` is its buffer: rows of red, green, blue.
#include <openvino/openvino.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Picture {
    size_t height = 0, width = 0;
    std::vector<uint8_t> pixels;
};

Picture read_ppm(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::string magic;
    Picture picture;
    size_t largest = 0;
    file >> magic >> picture.width >> picture.height >> largest;
    if (magic != "P6" || largest != 255)
        throw std::runtime_error(std::string(path) + ": expected a binary PPM of 8 bits");
    file.get();
    picture.pixels.resize(picture.height * picture.width * 3);
    file.read(reinterpret_cast<char*>(picture.pixels.data()), picture.pixels.size());
    if (!file)
        throw std::runtime_error(std::string(path) + ": cut short");
    return picture;
}

int main(int count, char** words) try {
    if (count != 5)
        throw std::runtime_error("judge MODEL.onnx PICTURE.ppm DEFECT UNSURE");
    Picture picture = read_ppm(words[2]);
    // Without this OpenVINO takes bfloat16 where the processor has it: other scores than trained.
    ov::Core core;
    auto model = core.compile_model(words[1], "CPU",
                                    ov::hint::inference_precision(ov::element::f32));
    auto request = model.create_infer_request();
    request.set_tensor("pixels", ov::Tensor(ov::element::u8, {1, picture.height, picture.width, 3},
                                            picture.pixels.data()));
    request.infer();
    float score = request.get_tensor("score").data<float>()[0];
    const float* map = request.get_tensor("anomaly_map").data<float>();
    size_t place = std::max_element(map, map + picture.height * picture.width) - map;
    const char* verdict = score > std::atof(words[3])   ? "defect"
                          : score > std::atof(words[4]) ? "unsure"
                                                        : "ok";
    std::printf("%s, score %.9g, highest at row %zu, column %zu\n", verdict, score,
                place / picture.width, place % picture.width);
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
}
